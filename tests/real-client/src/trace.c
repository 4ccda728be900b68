/*
 * The debug log: everything libpurple and SIPE say, all SIP both ways, goes to a file. Some things SIPE tells nowhere
 * else (the URI of a room it opens, that Group Chat is up, that a room is truly left): they are read from its lines.
 */

#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static FILE *file;

/* "PREFIX'TITLE' (URI)": the URI starts at the last "' (". */
static gboolean split_room(const char *line, const char *prefix, char **title, char **uri)
{
	const char *start, *end;
	gsize length;

	if (!g_str_has_prefix(line, prefix))
		return FALSE;
	start = line + strlen(prefix);
	end = g_strrstr(start, "' (");
	if (!end)
		return FALSE;
	*title = g_strndup(start, end - start);
	end += strlen("' (");
	length = strlen(end);
	while (length && (end[length - 1] == '\n' || end[length - 1] == ' '))
		length--;
	if (length && end[length - 1] == ')')
		length--;
	*uri = g_strndup(end, length);
	return TRUE;
}

static void groupchat_failed(const char *text)
{
	event_begin("groupchat-failed");
	event_text("text", text);
	event_end();
}

static void read_line(const char *line)
{
	char *title = NULL, *uri = NULL;

	if (split_room(line, "joined room '", &title, &uri)) {
		rooms_announced(title, uri, FALSE);
	} else if (split_room(line, "rejoining room '", &title, &uri)) {
		rooms_announced(title, uri, TRUE);
	} else if (split_room(line, "leaving room '", &title, &uri)) {
		rooms_left(title, uri);
	} else if (g_str_has_prefix(line, "chatserver_response: 'rpl:bccontext'")) {
		rooms_history_begins(parsed_history_take());
	} else if (g_str_has_prefix(line, "chatserver_response_part: failed")) {
		char *text = g_strstrip(g_strdup(line));

		event_error("part", "%s", text);
		g_free(text);
	} else if (g_str_has_prefix(line, "connection to group chat server established.")) {
		event_begin("groupchat-ready");
		event_end();
	} else if (g_str_has_prefix(line, "no group chat server found.")) {
		groupchat_failed("no group chat server found");
	} else if (g_str_has_prefix(line, "can't connect to group chat server!")) {
		groupchat_failed("can't connect to group chat server");
	} else if (g_str_has_prefix(line, "chatserver_response_uri: no server URI found!")) {
		groupchat_failed("no server URI found");
	}
	g_free(title);
	g_free(uri);
}

static void print(PurpleDebugLevel level, const char *category, const char *text)
{
	static const char *const names[] = { "all", "misc", "info", "warning", "error", "fatal" };

	if (file) {
		GDateTime *now = g_date_time_new_now_utc();
		char *time = g_date_time_format(now, "%H:%M:%S.%f");
		gboolean ended = g_str_has_suffix(text, "\n");

		fprintf(file, "%s %s %s: %s%s", time, level < G_N_ELEMENTS(names) ? names[level] : "?",
			category ? category : "-", text, ended ? "" : "\n");
		fflush(file);
		g_free(time);
		g_date_time_unref(now);
	}
	if (purple_strequal(category, "sipe"))
		read_line(text);
}

/* SIPE and libpurple trip over GLib's checks now and then ("assertion 'hash_table != NULL' failed"): harmless, and
 * nothing for standard error. */
static void glib_message(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
	(void) data;
	print(level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? PURPLE_DEBUG_ERROR : PURPLE_DEBUG_WARNING,
	      domain ? domain : "glib", message);
}

gboolean trace_open(const char *path)
{
	g_log_set_default_handler(glib_message, NULL);
	if (!path)
		return TRUE;
	file = fopen(path, "we");
	return file != NULL;
}

static gboolean is_enabled(PurpleDebugLevel level, const char *category)
{
	(void) level;
	(void) category;
	return TRUE;
}

PurpleDebugUiOps *trace_ops(void)
{
	static PurpleDebugUiOps ops = { .print = print, .is_enabled = is_enabled };
	return &ops;
}
