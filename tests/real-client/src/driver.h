/* Shared declarations of the real-client driver; see ../README.md for what it speaks. */

#ifndef DRIVER_H
#define DRIVER_H

#include <glib.h>
#include <purple.h>

/* --- events.c: one JSON object a line on standard output ----------------- */

/* {"event":NAME,"at":MILLISECONDS since the first event */
void event_begin(const char *name);
/* NULL is written as null; bytes that are not UTF-8 become U+FFFD. */
void event_text(const char *key, const char *value);
void event_number(const char *key, gint64 value);
void event_flag(const char *key, gboolean value);
/* A JSON array of what `one` writes through event_item_*; see rooms.c. */
void event_list_begin(const char *key);
void event_list_end(void);
void event_item_begin(void);
void event_item_end(void);
void event_end(void);

/* {"event":"error","command":COMMAND,"text":TEXT} */
void event_error(const char *command, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* --- loop.c: libpurple's timers and sockets on the GLib main loop -------- */

PurpleEventLoopUiOps *loop_ops(void);
/* Seconds in which a minute of the client's long waits passes. */
extern int loop_minute;

/* --- trace.c: the debug log, and what only the debug log tells ----------- */

/* Opens (truncates) the log; NULL for none. FALSE if it can't be written. */
gboolean trace_open(const char *path);
PurpleDebugUiOps *trace_ops(void);

/* --- workarounds.c ------------------------------------------------------- */

/* Takes the room URI of the next unread `rpl:bccontext` of the document that SIPE parsed last;
 * NULL when there is none. The caller frees it. */
char *parsed_history_take(void);

/* --- dialogs.c: boxes and questions that a desktop would show ------------ */

typedef enum {
	CERTIFICATE_REFUSE, /* the default: verification is truly on */
	CERTIFICATE_ACCEPT,
	CERTIFICATE_IGNORE, /* nobody answers */
} CertificateAnswer;

void dialogs_answer_certificates(CertificateAnswer answer);
PurpleNotifyUiOps *notify_ops(void);
PurpleRequestUiOps *request_ops(void);

/* --- account.c: the one account of this process -------------------------- */

typedef struct {
	char *user;           /* user@domain */
	char *login;          /* sign-in name, NULL: the user */
	char *password;
	char *server;         /* host[:port], NULL: discovery */
	char *transport;      /* "tcp", "tls", "auto" */
	char *groupchat_user; /* user@domain or domain, NULL: provisioned or ocschat@domain */
	char *auth;           /* "ntlm", "krb5", "tls-dsk", "auto" */
} Settings;

extern Settings settings;
/* Not negative: what rand() is seeded with before the first sign-in. SIPE takes its Call-IDs, tags and envelope ids from
 * rand(), so two processes with one seed send identical ones. */
extern int account_seed;

/* Sets the option `key` (the long option's name); FALSE if there is no such option. */
gboolean settings_set(const char *key, const char *value);

PurpleConnectionUiOps *connection_ops(void);
/* The account's connection if it is up or coming up, else NULL. */
PurpleConnection *account_connection(void);
gboolean account_is_connected(void);
/* TRUE while libpurple tears a connection down. */
gboolean account_is_closing(void);
void account_login(const char *command);
void account_logout(void);
/* Cuts the TCP connection under the client: FIN, or RST if `reset`. */
void account_cut(const char *command, gboolean reset, gboolean reconnect);

/* --- rooms.c ------------------------------------------------------------- */

void rooms_init(void);
PurpleConversationUiOps *conversation_ops(void);
PurpleRoomlistUiOps *roomlist_ops(void);

void rooms_list(const char *command);
void rooms_join(const char *command, const char *room);
void rooms_say(const char *command, const char *room, const char *text);
void rooms_part(const char *command, const char *room);
void rooms_members(const char *command, const char *room);

/* Told by trace.c. */
void rooms_announced(const char *title, const char *uri, gboolean again);
void rooms_left(const char *title, const char *uri);
void rooms_history_begins(char *uri /* taken, may be NULL */);

/* --- commands.c ---------------------------------------------------------- */

void commands_start(void);

/* --- main.c -------------------------------------------------------------- */

/* Signs out, tidies up and ends the process with `status`. */
void driver_quit(int status);

#endif
