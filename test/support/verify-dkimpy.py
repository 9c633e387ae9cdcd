"""Verifies every DKIM signature of messages with dkimpy.

Standard input: {"dns": {name: TXT text}, "files": [path, ...]}; or, in place of "dns",
    "server": {"address": a, "port": p}: the DNS server that is asked, once for each name
Standard output: {path: [{"selector": s, "domain": d, "pass": bool, "error": text or null}, ...]}
"""
import functools
import json
import logging
import sys

import dkim
from dkim.util import parse_tag_value

job = json.load(sys.stdin)


def listed(name):
    return job["dns"].get(name, "").encode() or None


@functools.lru_cache(maxsize=None)
def asked(name):
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [job["server"]["address"]]
    resolver.port = job["server"]["port"]
    try:
        answer = resolver.resolve(name, "TXT", search=False, lifetime=30)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    return b"".join(answer[0].strings)


look_up = asked if "server" in job else listed


def txt(name, timeout=5):
    return look_up(name.decode().rstrip(".").lower())


class Complaints(logging.Handler):
    """Why a signature fails: dkimpy only logs it."""

    def emit(self, record):
        self.last = record.getMessage()


complaints = Complaints()
logger = logging.getLogger("verify")
logger.addHandler(complaints)
logger.propagate = False

results = {}
for path in job["files"]:
    with open(path, "rb") as file:
        message = dkim.DKIM(file.read(), logger=logger)
    signatures = [v for n, v in message.headers if n.lower() == b"dkim-signature"]
    found = []
    for index, value in enumerate(signatures):
        entry = {"selector": None, "domain": None, "pass": False, "error": None}
        complaints.last = None
        try:
            tags = parse_tag_value(value)
            entry["selector"] = tags[b"s"].decode()
            entry["domain"] = tags[b"d"].decode()
            entry["pass"] = message.verify(idx=index, dnsfunc=txt)
            if not entry["pass"]:
                entry["error"] = complaints.last
        except Exception as error:
            entry["error"] = repr(error)
        found.append(entry)
    results[path] = found
json.dump(results, sys.stdout)
