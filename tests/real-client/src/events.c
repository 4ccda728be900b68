/* Events: one JSON object a line, flushed at once. */

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

static GString *line;
static gboolean first_item;

static void append_string(const char *value)
{
	char *text = g_utf8_make_valid(value, -1);

	g_string_append_c(line, '"');
	for (const char *p = text; *p; p++) {
		guchar c = *p;

		switch (c) {
		case '"':  g_string_append(line, "\\\""); break;
		case '\\': g_string_append(line, "\\\\"); break;
		case '\n': g_string_append(line, "\\n"); break;
		default:
			if (c < 0x20)
				g_string_append_printf(line, "\\u%04x", c);
			else
				g_string_append_c(line, c);
		}
	}
	g_string_append_c(line, '"');
	g_free(text);
}

static void append_key(const char *key)
{
	char last = line->str[line->len - 1];

	if (last != '{')
		g_string_append_c(line, ',');
	append_string(key);
	g_string_append_c(line, ':');
}

void event_begin(const char *name)
{
	static gint64 start;

	if (!line) {
		line = g_string_new(NULL);
		start = g_get_monotonic_time();
	}
	g_string_assign(line, "{");
	event_text("event", name);
	event_number("at", (g_get_monotonic_time() - start) / 1000);
}

void event_text(const char *key, const char *value)
{
	append_key(key);
	if (value)
		append_string(value);
	else
		g_string_append(line, "null");
}

void event_number(const char *key, gint64 value)
{
	append_key(key);
	g_string_append_printf(line, "%" G_GINT64_FORMAT, value);
}

void event_flag(const char *key, gboolean value)
{
	append_key(key);
	g_string_append(line, value ? "true" : "false");
}

void event_list_begin(const char *key)
{
	append_key(key);
	g_string_append_c(line, '[');
	first_item = TRUE;
}

void event_list_end(void)
{
	g_string_append_c(line, ']');
}

void event_item_begin(void)
{
	if (!first_item)
		g_string_append_c(line, ',');
	first_item = FALSE;
	g_string_append_c(line, '{');
}

void event_item_end(void)
{
	g_string_append_c(line, '}');
}

void event_end(void)
{
	g_string_append(line, "}\n");
	/* A reader that went away ends the process: nobody is left to tell. */
	if (fwrite(line->str, 1, line->len, stdout) != line->len || fflush(stdout) != 0)
		_Exit(1);
}

void event_error(const char *command, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	event_begin("error");
	event_text("command", command);
	event_text("text", text);
	event_end();
	g_free(text);
}
