#!/bin/sh
# Debian's Exim and Postfix exclude each other, so Exim is unpacked and not installed.
#   unpack-exim.sh DIR     makes DIR/exim4, which runs the unpacked program
# Its user is compiled in and does not exist here: nss_wrapper makes it believe otherwise.
set -eu
mkdir -p "$1"
dir=$(cd "$1" && pwd)
root=$dir/exim-root
mkdir -p "$root/debs"
(
  cd "$root/debs"
  apt-get -qq download exim4-daemon-light libidn12 libnss-wrapper 2>/dev/null
  for deb in *.deb; do dpkg-deb -x "$deb" "$root"; done
)
wrapper=$(find "$root" -name libnss_wrapper.so | head -n 1)
libraries=$(dirname "$wrapper")
printf 'root:x:0:0::/:/bin/sh\nDebian-exim:x:65533:65533::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' >"$root/passwd"
printf 'root:x:0:\nDebian-exim:x:65533:\nnogroup:x:65534:\n' >"$root/group"
cat >"$dir/exim4.new" <<END
#!/bin/sh
LD_LIBRARY_PATH=$libraries LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$root/passwd NSS_WRAPPER_GROUP=$root/group \\
  exec $root/usr/sbin/exim4 "\$@"
END
chmod 755 "$dir/exim4.new"
mv "$dir/exim4.new" "$dir/exim4"
printf 'exim_user = nobody\nspool_directory = %s\nlog_file_path = %s/%%slog\n' "$root" "$root" >"$root/exim.conf"
"$dir/exim4" -C "$root/exim.conf" -bV >/dev/null
