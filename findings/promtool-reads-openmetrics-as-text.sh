#!/usr/bin/env bash
# `promtool check metrics` of Prometheus 2.42 and a correct OpenMetrics exposition.
#
# Guess: promtool knows both formats that Prometheus scrapes, and finds nothing to say of a correct OpenMetrics text.
# Seen: it reads everything as the older text format. A counter whose HELP and TYPE lines carry the name without `_total`,
# as OpenMetrics demands, has "no help text" (exit code 3); an `info` metric is an "unknown metric type" (exit code 1). So
# what a server gives to whoever asks for OpenMetrics cannot be checked with it; ask for `text/plain; version=0.0.4`.
#
# Needs: apt-get. Installs nothing: the package is unpacked in a temporary folder.
set -euo pipefail
version=2.42.0+ds-5+deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq "prometheus=$version" 2> /dev/null
dpkg-deb -x prometheus_*.deb root
check() {
    code=0
    said=$(printf "$2" | root/usr/bin/promtool check metrics 2>&1) || code=$?
    printf '%s: exit code %s: %s\n' "$1" "$code" "$said"
}
{
    check "text counter" '# HELP posts_total Posts.\n# TYPE posts_total counter\nposts_total 1\n'
    check "OpenMetrics counter" '# HELP posts Posts.\n# TYPE posts counter\nposts_total 1\n# EOF\n'
    check "OpenMetrics info" '# HELP build Build.\n# TYPE build info\nbuild_info{version="1"} 1\n# EOF\n'
} > seen
cat > expected << 'TEXT'
text counter: exit code 0: 
OpenMetrics counter: exit code 3: posts_total no help text
OpenMetrics info: exit code 1: error while linting: text format parsing error in line 2: unknown metric type "info"
TEXT
cat seen
diff expected seen
echo "as found with prometheus $version"
