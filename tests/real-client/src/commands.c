/* Commands: one a line on standard input. */

#include "driver.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static GByteArray *pending;

/* Reads \n \t \r \\ \" \xHH \u{HEX} in place of what they stand for; NULL (and the fault) if something else follows a backslash. */
static char *unescaped(const char *text, const char **fault)
{
	GString *out = g_string_new(NULL);

	while (*text) {
		char *end;
		guint64 code;

		if (*text != '\\') {
			g_string_append_c(out, *text++);
			continue;
		}
		text++;
		if (*text == 'n' || *text == 't' || *text == 'r') {
			g_string_append_c(out, *text == 'n' ? '\n' : *text == 't' ? '\t' : '\r');
			text++;
		} else if (*text == '\\' || *text == '"') {
			g_string_append_c(out, *text++);
		} else if (*text == 'x' && g_ascii_isxdigit(text[1]) && g_ascii_isxdigit(text[2])) {
			g_string_append_c(out, (char) (g_ascii_xdigit_value(text[1]) * 16 + g_ascii_xdigit_value(text[2])));
			text += 3;
		} else if (g_str_has_prefix(text, "u{") && g_ascii_isxdigit(text[2])
			   && (code = g_ascii_strtoull(text + 2, &end, 16)) <= 0x10ffff && *end == '}'
			   && g_unichar_validate((gunichar) code)) {
			g_string_append_unichar(out, (gunichar) code);
			text = end + 1;
		} else {
			*fault = "unknown escape: a backslash is followed by n, t, r, \\, \", xHH or u{HEX}";
			g_string_free(out, TRUE);
			return NULL;
		}
	}
	return g_string_free(out, FALSE);
}

/* Takes one word off `*rest`: up to a blank, or a string in double quotes. NULL if there is none. */
static char *next_word(char **rest, const char **fault)
{
	char *start, *end, *word;

	while (**rest == ' ')
		(*rest)++;
	start = *rest;
	if (!*start)
		return NULL;
	if (*start != '"') {
		end = start + strcspn(start, " ");
		*rest = *end ? end + 1 : end;
		return g_strndup(start, end - start);
	}
	for (end = ++start; *end && *end != '"'; end++)
		if (*end == '\\' && end[1])
			end++;
	if (!*end) {
		*fault = "a quote is not closed";
		return NULL;
	}
	*rest = end[1] == ' ' ? end + 2 : end + 1;
	word = g_strndup(start, end - start);
	start = unescaped(word, fault);
	g_free(word);
	return start;
}

static void login(char *rest)
{
	const char *fault = NULL;
	char *word;

	while ((word = next_word(&rest, &fault))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		if (!value || !settings_set(word, value)) {
			event_error("login", "unknown setting %s", word);
			g_free(word);
			return;
		}
		g_free(word);
	}
	if (fault)
		event_error("login", "%s", fault);
	else
		account_login("login");
}

static void run(char *line)
{
	const char *fault = NULL;
	char *rest = line;
	char *command = next_word(&rest, &fault);
	char *word = NULL, *text = NULL;

	if (!command) {
		if (fault)
			event_error(NULL, "%s", fault);
		return;
	}
	if (purple_strequal(command, "login")) {
		login(rest);
	} else if (purple_strequal(command, "reconnect")) {
		account_login(command);
	} else if (purple_strequal(command, "logout")) {
		if (account_connection())
			account_logout();
		else
			event_error(command, "not signed in");
	} else if (purple_strequal(command, "drop") || purple_strequal(command, "cut")) {
		word = next_word(&rest, &fault);
		if (word && !purple_strequal(word, "reset"))
			event_error(command, "unknown word %s", word);
		else
			account_cut(command, word != NULL, *command == 'd');
	} else if (purple_strequal(command, "rooms")) {
		rooms_list(command);
	} else if (purple_strequal(command, "quit")) {
		driver_quit(0);
	} else if (purple_strequal(command, "join") || purple_strequal(command, "part")
		   || purple_strequal(command, "members") || purple_strequal(command, "say")) {
		word = next_word(&rest, &fault);
		if (word && *command == 's')
			text = unescaped(rest, &fault);
		if (fault)
			event_error(command, "%s", fault);
		else if (!word)
			event_error(command, "no room given");
		else if (*command == 'j')
			rooms_join(command, word);
		else if (*command == 'p')
			rooms_part(command, word);
		else if (*command == 'm')
			rooms_members(command, word);
		else if (!g_utf8_validate(text, -1, NULL))
			event_error(command, "the text is not UTF-8");
		else
			rooms_say(command, word, text);
	} else {
		event_error(command, "unknown command");
	}
	g_free(command);
	g_free(word);
	g_free(text);
}

static gboolean readable(gint fd, GIOCondition condition, gpointer data)
{
	guint8 block[65536];
	ssize_t got = read(fd, block, sizeof block);
	guint8 *end;

	(void) condition;
	(void) data;
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return G_SOURCE_CONTINUE;
	if (got <= 0) {
		driver_quit(0);
		return G_SOURCE_REMOVE;
	}
	g_byte_array_append(pending, block, got);
	while ((end = memchr(pending->data, '\n', pending->len))) {
		guint length = end - pending->data;
		char *line = g_strndup((char *) pending->data, length);

		g_byte_array_remove_range(pending, 0, length + 1);
		if (g_str_has_suffix(line, "\r"))
			line[length - 1] = '\0';
		run(line);
		g_free(line);
	}
	return G_SOURCE_CONTINUE;
}

void commands_start(void)
{
	pending = g_byte_array_new();
	g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, NULL);
}
