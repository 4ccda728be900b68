/* Hosts libpurple without a desktop, so that a script can drive the real client. */

#include "driver.h"

#include <errno.h>
#include <ftw.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UI "holdover"
/* Where Debian's pidgin-sipe puts its plugin. */
#ifndef SIPE_PLUGIN_DIR
#define SIPE_PLUGIN_DIR "/usr/lib/purple-2"
#endif
#define DEADLINE_STATUS 3
/* How long the orderly end after the deadline may take. */
#define DEADLINE_GRACE 5 /* seconds */

static GMainLoop *main_loop;
static char *user_dir;
static int exit_status;
static gboolean quitting;

static char *trace_file;
static char *ca_file;
static int deadline = 600;
static gboolean keep_user_dir;

/* --- options --- */

static gboolean account_option(const gchar *name, const gchar *value, gpointer data, GError **error)
{
	(void) data;
	(void) error;
	return settings_set(name + 2, value);
}

static gboolean certificate_option(const gchar *name, const gchar *value, gpointer data, GError **error)
{
	(void) name;
	(void) data;
	if (purple_strequal(value, "refuse")) {
		dialogs_answer_certificates(CERTIFICATE_REFUSE);
	} else if (purple_strequal(value, "accept")) {
		dialogs_answer_certificates(CERTIFICATE_ACCEPT);
	} else if (purple_strequal(value, "ignore")) {
		dialogs_answer_certificates(CERTIFICATE_IGNORE);
	} else {
		g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s is not refuse, accept or ignore", value);
		return FALSE;
	}
	return TRUE;
}

static gboolean parse_options(int *count, char ***arguments)
{
	const GOptionEntry entries[] = {
		{ "user", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Sign in as this user", "USER@DOMAIN" },
		{ "login", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Sign-in name, if not the user", "NAME" },
		{ "password", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Password", "TEXT" },
		{ "server", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Connect here", "HOST[:PORT]" },
		{ "transport", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Transport", "tcp|tls|auto" },
		{ "groupchat-user", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Lookup address", "[USER@]DOMAIN" },
		{ "auth", 0, 0, G_OPTION_ARG_CALLBACK, account_option, "Authentication scheme", "ntlm|krb5|tls-dsk|auto" },
		{ "certificates", 0, 0, G_OPTION_ARG_CALLBACK, certificate_option,
		  "Answer to questions about certificates (default: refuse)", "refuse|accept|ignore" },
		{ "ca", 0, 0, G_OPTION_ARG_FILENAME, &ca_file, "Trust this CA, and no other (PEM)", "FILE" },
		{ "trace", 0, 0, G_OPTION_ARG_FILENAME, &trace_file, "Write the debug log, all SIP in it, here", "FILE" },
		{ "seed", 0, 0, G_OPTION_ARG_INT, &account_seed, "Make the client's Call-IDs and tags those of this seed", "NUMBER" },
		{ "minute", 0, 0, G_OPTION_ARG_INT, &loop_minute, "Let the client's minutes pass in this time (default: 60)", "SECONDS" },
		{ "deadline", 0, 0, G_OPTION_ARG_INT, &deadline, "End with status 3 after this long (default: 600, 0: never)", "SECONDS" },
		{ "keep", 0, 0, G_OPTION_ARG_NONE, &keep_user_dir, "Leave the temporary user directory in place", NULL },
		{ NULL, 0, 0, 0, NULL, NULL, NULL },
	};
	GOptionContext *context = g_option_context_new("- drive the real client");
	GError *error = NULL;
	gboolean parsed;

	g_option_context_add_main_entries(context, entries, NULL);
	parsed = g_option_context_parse(context, count, arguments, &error);
	if (!parsed) {
		fprintf(stderr, "%s\n", error->message);
		g_error_free(error);
	} else if (*count > 1) {
		fprintf(stderr, "unexpected argument %s\n", (*arguments)[1]);
		parsed = FALSE;
	}
	g_option_context_free(context);
	return parsed;
}

/* --- the user directory --- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void) status;
	(void) kind;
	(void) walk;
	return remove(path);
}

static void remove_user_dir(void)
{
	if (!keep_user_dir)
		nftw(user_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/*
 * libpurple falls back on the system's CAs only if no directory of CAs was named before it starts: naming one makes
 * its CA the only one trusted, and spares reading some hundred others.
 */
static gboolean trust_only(const char *file)
{
	char *directory = g_build_filename(user_dir, "ca", NULL);
	char *copy = g_build_filename(directory, "trusted.pem", NULL);
	char *text = NULL;
	gsize length;
	GError *error = NULL;
	gboolean done = g_mkdir(directory, 0700) == 0 && g_file_get_contents(file, &text, &length, &error)
			&& g_file_set_contents(copy, text, length, &error);

	if (done)
		purple_certificate_add_ca_search_path(directory);
	else
		fprintf(stderr, "%s: %s\n", file, error ? error->message : g_strerror(errno));
	g_clear_error(&error);
	g_free(text);
	g_free(copy);
	g_free(directory);
	return done;
}

/* --- start and end --- */

static void ui_init(void)
{
	purple_connections_set_ui_ops(connection_ops());
	purple_conversations_set_ui_ops(conversation_ops());
	purple_roomlist_set_ui_ops(roomlist_ops());
	purple_notify_set_ui_ops(notify_ops());
	purple_request_set_ui_ops(request_ops());
}

static gboolean start_purple(void)
{
	static PurpleCoreUiOps core_ops = { .ui_init = ui_init };

	purple_util_set_user_dir(user_dir);
	/* Not "enabled": that would print on standard output, which carries the events. */
	purple_debug_set_verbose(TRUE);
	purple_debug_set_unsafe(TRUE); /* SIPE logs whole messages only then */
	purple_debug_set_ui_ops(trace_ops());
	purple_eventloop_set_ui_ops(loop_ops());
	purple_core_set_ui_ops(&core_ops);
	purple_plugins_add_search_path(SIPE_PLUGIN_DIR);
	if (ca_file && !trust_only(ca_file))
		return FALSE;
	if (!purple_core_init(UI)) {
		fprintf(stderr, "libpurple does not start\n");
		return FALSE;
	}
	purple_set_blist(purple_blist_new());
	purple_prefs_set_bool("/purple/logging/log_ims", FALSE);
	purple_prefs_set_bool("/purple/logging/log_chats", FALSE);
	purple_prefs_set_bool("/purple/logging/log_system", FALSE);
	/* Five minutes without typing would set an "away" status, and with it sign in again whoever is not. */
	purple_prefs_set_string("/purple/away/idle_reporting", "none");
	purple_prefs_set_bool("/purple/away/away_when_idle", FALSE);
	rooms_init();
	return TRUE;
}

static gboolean stop(gpointer data)
{
	(void) data;
	g_main_loop_quit(main_loop);
	return G_SOURCE_REMOVE;
}

void driver_quit(int status)
{
	if (quitting)
		return;
	quitting = TRUE;
	exit_status = status;
	account_logout();
	/* Once round the main loop: the client tidies up from idle callbacks. */
	g_timeout_add(10, stop, NULL);
}

static gboolean interrupted(gpointer data)
{
	(void) data;
	driver_quit(1);
	return G_SOURCE_CONTINUE;
}

static gboolean deadline_reached(gpointer data)
{
	(void) data;
	event_begin("deadline");
	event_number("seconds", deadline);
	event_end();
	driver_quit(DEADLINE_STATUS);
	return G_SOURCE_REMOVE;
}

/* The main loop does not turn any more. */
static void hard_deadline(int signal)
{
	(void) signal;
	_exit(DEADLINE_STATUS);
}

int main(int count, char **arguments)
{
	/* English texts, no session bus to look for. */
	setlocale(LC_ALL, "C.UTF-8");
	g_setenv("LANGUAGE", "C", TRUE);
	g_setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:", TRUE);
	if (!parse_options(&count, &arguments))
		return 2;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, hard_deadline);
	if (!trace_open(trace_file)) {
		fprintf(stderr, "%s: %s\n", trace_file, g_strerror(errno));
		return 2;
	}
	user_dir = g_dir_make_tmp("holdover-real-client-XXXXXX", NULL);
	if (!user_dir) {
		fprintf(stderr, "no temporary directory: %s\n", g_strerror(errno));
		return 2;
	}
	main_loop = g_main_loop_new(NULL, FALSE);
	if (!start_purple()) {
		remove_user_dir();
		return 2;
	}
	g_unix_signal_add(SIGTERM, interrupted, NULL);
	g_unix_signal_add(SIGINT, interrupted, NULL);
	if (deadline > 0) {
		g_timeout_add_seconds(deadline, deadline_reached, NULL);
		alarm(deadline + DEADLINE_GRACE);
	}
	event_begin("started");
	event_text("libpurple", purple_core_get_version());
	event_text("user-dir", user_dir);
	event_end();
	commands_start();
	g_main_loop_run(main_loop);
	purple_core_quit();
	remove_user_dir();
	event_begin("ended");
	event_number("status", exit_status);
	event_end();
	return exit_status;
}
