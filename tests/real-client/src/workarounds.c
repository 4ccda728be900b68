/*
 * Two faults of the platform under SIPE, cured from outside: the plugin and the libraries stay as Debian
 * ships them. This program is linked so that its definitions of two library functions come before the libraries' own.
 */

#include "driver.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

/* Room URIs of the `rpl:bccontext` elements in the document parsed last, in order. */
static GQueue parsed_histories = G_QUEUE_INIT;

char *parsed_history_take(void)
{
	return g_queue_pop_head(&parsed_histories);
}

static xmlNode *child_named(xmlNode *parent, const char *name)
{
	xmlNode *node = parent ? parent->children : NULL;

	while (node && !(node->type == XML_ELEMENT_NODE && purple_strequal((const char *) node->name, name)))
		node = node->next;
	return node;
}

/* SIPE's own report of a history reply does not name the room, so read it here. */
static void note_histories(const char *buffer, int size)
{
	xmlDoc *document;
	xmlNode *root;
	char *old;

	while ((old = g_queue_pop_head(&parsed_histories)))
		g_free(old);
	if (!memmem(buffer, size, "bccontext", strlen("bccontext")))
		return;
	document = xmlReadMemory(buffer, size, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
	root = document ? xmlDocGetRootElement(document) : NULL;
	for (xmlNode *reply = root ? root->children : NULL; reply; reply = reply->next) {
		xmlChar *id = reply->type == XML_ELEMENT_NODE ? xmlGetProp(reply, BAD_CAST "id") : NULL;

		if (id && g_ascii_strcasecmp((const char *) id, "rpl:bccontext") == 0) {
			xmlNode *room = child_named(child_named(reply, "data"), "chanib");
			xmlChar *uri = room ? xmlGetProp(room, BAD_CAST "uri") : NULL;

			g_queue_push_tail(&parsed_histories, g_strdup(uri ? (const char *) uri : ""));
			xmlFree(uri);
		}
		xmlFree(id);
	}
	xmlFreeDoc(document);
}

/*
 * SIPE fills in a SAX1 handler but marks it as SAX2. The libxml2 of Debian 12 then calls none of its functions: every
 * body parses to nothing, without an error. Parse with a copy that carries the right mark.
 */
EXPORTED int xmlSAXUserParseMemory(xmlSAXHandlerPtr handler, void *user_data, const char *buffer, int size)
{
	xmlParserCtxt *context = xmlCreateMemoryParserCtxt(buffer, size);
	int result;

	if (!context)
		return -1;
	*context->sax = *handler;
	if (!handler->startElementNs && !handler->endElementNs)
		context->sax->initialized = 1; /* anything but XML_SAX2_MAGIC */
	if (user_data)
		context->userData = user_data;
	xmlParseDocument(context);
	result = context->wellFormed ? 0 : context->errNo ? context->errNo : -1;
	xmlFreeDoc(context->myDoc);
	context->myDoc = NULL;
	xmlFreeParserCtxt(context);

	note_histories(buffer, size);
	return result;
}

/*
 * libpurple 2.14.12 now and then writes past the end of a connection's output ring, and the client aborts in malloc a
 * little later. Keep the unread bytes in one piece at the start of a fresh block instead: the block has one byte
 * more than is used, so the writing end never meets the block's end and the ring never wraps.
 */
EXPORTED void purple_circ_buffer_append(PurpleCircBuffer *ring, gconstpointer source, gsize length)
{
	gsize unread, size, first;
	char *block;

	g_return_if_fail(ring != NULL);
	unread = ring->bufused;
	size = unread + length + 1;
	if (ring->growsize)
		size = (size + ring->growsize - 1) / ring->growsize * ring->growsize;
	block = g_malloc(size);
	first = MIN(unread, ring->buflen - (gsize) (ring->outptr - ring->buffer));
	if (unread) {
		memcpy(block, ring->outptr, first);
		memcpy(block + first, ring->buffer, unread - first);
	}
	memcpy(block + unread, source, length);
	g_free(ring->buffer);
	ring->buffer = block;
	ring->buflen = size;
	ring->bufused = unread + length;
	ring->outptr = block;
	ring->inptr = block + ring->bufused;
}
