/* The one account of this process: signing in and out, and what becomes of its connection. */

#include "driver.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL "prpl-sipe"
/* Descriptors looked at when the connection is to be cut. */
#define HIGHEST_DESCRIPTOR 1024

Settings settings;
int account_seed = -1;

static PurpleAccount *account;
static PurpleConnectionError reason;
static char *reason_text; /* NULL: a disconnection somebody asked for */
static gboolean closing;
static gboolean reconnect_when_down;

gboolean settings_set(const char *key, const char *value)
{
	const struct {
		const char *key;
		char **place;
	} known[] = {
		{ "user", &settings.user },
		{ "login", &settings.login },
		{ "password", &settings.password },
		{ "server", &settings.server },
		{ "transport", &settings.transport },
		{ "groupchat-user", &settings.groupchat_user },
		{ "auth", &settings.auth },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
		if (!purple_strequal(known[i].key, key))
			continue;
		g_free(*known[i].place);
		*known[i].place = *value ? g_strdup(value) : NULL;
		return TRUE;
	}
	return FALSE;
}

/* --- what libpurple tells of the connection --- */

static const char *reason_name(PurpleConnectionError error)
{
	static const char *const names[] = {
		[PURPLE_CONNECTION_ERROR_NETWORK_ERROR] = "network-error",
		[PURPLE_CONNECTION_ERROR_INVALID_USERNAME] = "invalid-username",
		[PURPLE_CONNECTION_ERROR_AUTHENTICATION_FAILED] = "authentication-failed",
		[PURPLE_CONNECTION_ERROR_AUTHENTICATION_IMPOSSIBLE] = "authentication-impossible",
		[PURPLE_CONNECTION_ERROR_NO_SSL_SUPPORT] = "no-ssl-support",
		[PURPLE_CONNECTION_ERROR_ENCRYPTION_ERROR] = "encryption-error",
		[PURPLE_CONNECTION_ERROR_NAME_IN_USE] = "name-in-use",
		[PURPLE_CONNECTION_ERROR_INVALID_SETTINGS] = "invalid-settings",
		[PURPLE_CONNECTION_ERROR_CERT_NOT_PROVIDED] = "certificate-not-provided",
		[PURPLE_CONNECTION_ERROR_CERT_UNTRUSTED] = "certificate-untrusted",
		[PURPLE_CONNECTION_ERROR_CERT_EXPIRED] = "certificate-expired",
		[PURPLE_CONNECTION_ERROR_CERT_NOT_ACTIVATED] = "certificate-not-activated",
		[PURPLE_CONNECTION_ERROR_CERT_HOSTNAME_MISMATCH] = "certificate-hostname-mismatch",
		[PURPLE_CONNECTION_ERROR_CERT_FINGERPRINT_MISMATCH] = "certificate-fingerprint-mismatch",
		[PURPLE_CONNECTION_ERROR_CERT_SELF_SIGNED] = "certificate-self-signed",
		[PURPLE_CONNECTION_ERROR_CERT_OTHER_ERROR] = "certificate-other-error",
		[PURPLE_CONNECTION_ERROR_OTHER_ERROR] = "other-error",
	};
	return (guint) error < G_N_ELEMENTS(names) ? names[error] : "other-error";
}

static void connect_progress(PurpleConnection *connection, const char *text, size_t step, size_t steps)
{
	(void) connection;
	(void) step;
	(void) steps;
	event_begin("connecting");
	event_text("text", text);
	event_end();
}

static void connected(PurpleConnection *connection)
{
	event_begin("connected");
	event_text("user", purple_account_get_username(purple_connection_get_account(connection)));
	event_end();
}

static void report_disconnect_reason(PurpleConnection *connection, PurpleConnectionError error, const char *text)
{
	(void) connection;
	/* The first one counts: what SIPE still tries to send while it closes fails too, and is reported again. */
	if (reason_text)
		return;
	reason = error;
	reason_text = g_strdup(text ? text : "");
}

static gboolean reconnect_now(gpointer data)
{
	(void) data;
	account_login("drop");
	return G_SOURCE_REMOVE;
}

static void disconnected(PurpleConnection *connection)
{
	(void) connection;
	event_begin("disconnected");
	event_text("reason", reason_text ? reason_name(reason) : "requested");
	event_text("text", reason_text);
	event_flag("fatal", reason_text && purple_connection_error_is_fatal(reason));
	event_end();
	g_free(reason_text);
	reason_text = NULL;
	if (reconnect_when_down) {
		reconnect_when_down = FALSE;
		/* From the main loop: libpurple is still taking the old connection apart. */
		g_idle_add(reconnect_now, NULL);
	}
}

PurpleConnectionUiOps *connection_ops(void)
{
	static PurpleConnectionUiOps ops = {
		.connect_progress = connect_progress,
		.connected = connected,
		.disconnected = disconnected,
		.report_disconnect_reason = report_disconnect_reason,
	};
	return &ops;
}

static void signing_off(PurpleConnection *connection, gpointer data)
{
	(void) connection;
	(void) data;
	closing = TRUE;
}

static void signed_off(PurpleConnection *connection, gpointer data)
{
	(void) connection;
	(void) data;
	closing = FALSE;
}

/* --- commands --- */

PurpleConnection *account_connection(void)
{
	return account ? purple_account_get_connection(account) : NULL;
}

gboolean account_is_connected(void)
{
	return account && purple_account_is_connected(account);
}

gboolean account_is_closing(void)
{
	return closing;
}

static void create_account(void)
{
	static int handle;
	char *name = settings.login ? g_strdup_printf("%s,%s", settings.user, settings.login) : g_strdup(settings.user);
	PurpleProxyInfo *proxy = purple_proxy_info_new();

	if (account_seed >= 0)
		srand((unsigned) account_seed);
	account = purple_account_new(name, PROTOCOL);
	g_free(name);
	/* Never a proxy from the environment: the tests talk to this machine. */
	purple_proxy_info_set_type(proxy, PURPLE_PROXY_NONE);
	purple_account_set_proxy_info(account, proxy);
	purple_account_set_remember_password(account, TRUE);
	/* No calendar look-ups. */
	purple_account_set_bool(account, "dont-publish", TRUE);
	purple_accounts_add(account);
	purple_signal_connect(purple_connections_get_handle(), "signing-off", &handle, PURPLE_CALLBACK(signing_off), NULL);
	purple_signal_connect(purple_connections_get_handle(), "signed-off", &handle, PURPLE_CALLBACK(signed_off), NULL);
}

void account_login(const char *command)
{
	if (!settings.user) {
		event_error(command, "no user given");
		return;
	}
	if (!purple_find_prpl(PROTOCOL)) {
		event_error(command, "libpurple has not found SIPE");
		return;
	}
	if (account_connection()) {
		event_error(command, "already signed in, or signing in");
		return;
	}
	if (!account)
		create_account();
	purple_account_set_password(account, settings.password ? settings.password : "none");
	purple_account_set_string(account, "server", settings.server ? settings.server : "");
	purple_account_set_string(account, "transport", settings.transport ? settings.transport : "auto");
	purple_account_set_string(account, "groupchat_user", settings.groupchat_user ? settings.groupchat_user : "");
	purple_account_set_string(account, "authentication", settings.auth ? settings.auth : "ntlm");
	/* Being enabled connects by itself when libpurple sees a reason to; else do it here. */
	purple_account_set_enabled(account, purple_core_get_ui(), TRUE);
	if (!account_connection())
		purple_account_connect(account);
}

void account_logout(void)
{
	if (account_connection())
		purple_account_disconnect(account);
}

/* SIPE has one connection for an account, and this process one account. */
static int connection_descriptor(void)
{
	for (int fd = 3; fd < HIGHEST_DESCRIPTOR; fd++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof peer;
		int type = 0;
		socklen_t type_length = sizeof type;

		if (getpeername(fd, (struct sockaddr *) &peer, &length) == 0
		    && (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
		    && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0 && type == SOCK_STREAM)
			return fd;
	}
	return -1;
}

void account_cut(const char *command, gboolean reset, gboolean reconnect)
{
	int fd = account_connection() ? connection_descriptor() : -1;
	int failed;

	if (fd < 0) {
		event_error(command, "there is no connection to cut");
		return;
	}
	if (reset) {
		/* Dissolving the association of an established TCP socket sends RST; the client sees an error. */
		struct sockaddr none = { .sa_family = AF_UNSPEC };

		failed = connect(fd, &none, sizeof none);
	} else {
		failed = shutdown(fd, SHUT_RDWR);
	}
	if (failed) {
		event_error(command, "%s", g_strerror(errno));
		return;
	}
	reconnect_when_down = reconnect;
	event_begin("cut");
	event_text("how", reset ? "reset" : "end");
	event_end();
}
