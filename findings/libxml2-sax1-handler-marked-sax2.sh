#!/usr/bin/env bash
# libxml2 2.9.14 of Debian 12 and a SAX handler that fills only the SAX1 callbacks but says that it is a SAX2 handler
# (`initialized = XML_SAX2_MAGIC`), as the Group Chat client SIPE does.
#
# Guess: the parser looks at which callbacks are set, and calls the SAX1 ones.
# Seen: the document parses without an error, return code 0, and no callback is ever called. With `initialized` 0 or 1 the
# same handler gets both elements. A client with such a handler reads every document as empty and logs nothing.
#
# Needs: apt-get, gcc, pkg-config. Installs nothing: the packages are unpacked in a temporary folder.
set -euo pipefail
version=2.9.14+dfsg-1.3~deb12u6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq "libxml2=$version" "libxml2-dev=$version" 2> /dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat > sax.c << 'C'
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>

static int calls;

static void start(void *context, const xmlChar *name, const xmlChar **attributes) {
    (void) context, (void) name, (void) attributes;
    calls++;
}

static void parse(const char *label, unsigned initialized) {
    static const char document[] = "<a><b/></a>";
    xmlSAXHandler handler;
    memset(&handler, 0, sizeof handler);
    handler.initialized = initialized;
    handler.startElement = start;
    calls = 0;
    int code = xmlSAXUserParseMemory(&handler, NULL, document, (int) strlen(document));
    printf("%s: code %d, elements %d\n", label, code, calls);
}

int main(void) {
    parse("not marked", 0);
    parse("marked SAX1", 1);
    parse("marked SAX2", XML_SAX2_MAGIC);
    return 0;
}
C
library=$(dirname "$(find root -name 'libxml2.so.2')")
gcc -o sax sax.c -Iroot/usr/include/libxml2 "$library/libxml2.so.2"
LD_LIBRARY_PATH="$library" ./sax > seen
cat > expected << 'TEXT'
not marked: code 0, elements 2
marked SAX1: code 0, elements 2
marked SAX2: code 0, elements 0
TEXT
cat seen
diff expected seen
echo "as found with libxml2 $version"
