"""Verifies every DKIM signature of messages with dkimpy.

Standard input: {"dns": {name: TXT text}, "files": [path, ...]}
Standard output: {path: [{"selector": s, "domain": d, "pass": bool, "error": text or null}, ...]}
"""
import json
import sys

import dkim
from dkim.util import parse_tag_value

job = json.load(sys.stdin)
dns = job["dns"]


def txt(name, timeout=5):
    return dns.get(name.decode().rstrip(".").lower(), "").encode() or None


results = {}
for path in job["files"]:
    with open(path, "rb") as file:
        message = dkim.DKIM(file.read())
    signatures = [v for n, v in message.headers if n.lower() == b"dkim-signature"]
    found = []
    for index, value in enumerate(signatures):
        entry = {"selector": None, "domain": None, "pass": False, "error": None}
        try:
            tags = parse_tag_value(value)
            entry["selector"] = tags[b"s"].decode()
            entry["domain"] = tags[b"d"].decode()
            entry["pass"] = message.verify(idx=index, dnsfunc=txt)
        except Exception as error:
            entry["error"] = repr(error)
        found.append(entry)
    results[path] = found
json.dump(results, sys.stdout)
