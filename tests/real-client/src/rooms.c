/* Rooms: listing, joining, talking, leaving, and what is heard in them. */

#include "driver.h"

#include <string.h>

/* Key of a conversation's `Room`. */
#define ROOM "holdover-room"
/* A room is not left before its history has come: SIPE frees the room's window at once, and history that arrives
 * afterwards is a use after free in it. */
#define HISTORY_PATIENCE 10 /* seconds */

typedef struct {
	char *uri;
	gboolean history_pending;
	guint part_timer; /* not 0: to be left as soon as its history is there */
} Room;

/* The room SIPE has just named in the debug log and is about to open. */
static char *announced_uri;
static gboolean announced_again;

/* URIs of the rooms whose window is closed and whose `rpl:part` has not come. */
static GHashTable *leaving;

/* The `rpl:bccontext` SIPE is just reading, NULL outside of one. */
static char *history_uri;
static guint history_messages;
static guint history_timer;

/* The room list under way or last fetched. */
static PurpleRoomlist *listing;
static guint listed;
/* Inside purple_roomlist_get_list: a list that ends there was refused. */
static gboolean list_starting;

static Room *room_of(PurpleConversation *conversation)
{
	return purple_conversation_get_data(conversation, ROOM);
}

static PurpleConversation *find_by_uri(const char *uri)
{
	for (GList *l = purple_get_chats(); l; l = l->next) {
		Room *room = room_of(l->data);

		if (room && purple_strequal(room->uri, uri))
			return l->data;
	}
	return NULL;
}

static PurpleConversation *find_room(const char *name)
{
	PurpleConversation *conversation = find_by_uri(name);

	for (GList *l = purple_get_chats(); l && !conversation; l = l->next)
		if (room_of(l->data) && purple_strequal(purple_conversation_get_name(l->data), name))
			conversation = l->data;
	return conversation;
}

static void room_event(const char *name, PurpleConversation *conversation)
{
	Room *room = room_of(conversation);

	event_begin(name);
	event_text("room", purple_conversation_get_name(conversation));
	event_text("uri", room ? room->uri : NULL);
}

/* --- opening and closing --- */

void rooms_announced(const char *title, const char *uri, gboolean again)
{
	PurpleConversation *conversation = find_by_uri(uri);

	(void) title;
	g_free(announced_uri);
	announced_uri = g_strdup(uri);
	announced_again = again;
	/* A rejoined room keeps its conversation, and its history is sent anew. */
	if (conversation)
		room_of(conversation)->history_pending = TRUE;
}

static void create_conversation(PurpleConversation *conversation)
{
	Room *room;

	if (purple_conversation_get_type(conversation) != PURPLE_CONV_TYPE_CHAT)
		return;
	room = g_new0(Room, 1);
	room->uri = g_strdup(announced_uri);
	room->history_pending = TRUE;
	purple_conversation_set_data(conversation, ROOM, room);
}

static void deleting_conversation(PurpleConversation *conversation, gpointer data)
{
	Room *room = room_of(conversation);

	(void) data;
	if (!room)
		return;
	room_event("closed", conversation);
	event_end();
	if (account_is_connected() && !account_is_closing())
		g_hash_table_add(leaving, g_strdup(room->uri));
	if (room->part_timer)
		g_source_remove(room->part_timer);
	g_free(room->uri);
	g_free(room);
	purple_conversation_set_data(conversation, ROOM, NULL);
}

static void chat_joined(PurpleConversation *conversation, gpointer data)
{
	(void) data;
	room_event("joined", conversation);
	event_flag("again", announced_again);
	event_end();
}

void rooms_left(const char *title, const char *uri)
{
	g_hash_table_remove(leaving, uri);
	event_begin("left");
	event_text("room", title);
	event_text("uri", uri);
	event_end();
}

/* --- what is heard --- */

/* SIPE hands text over as GLib's markup escapes write it; libpurple adds line breaks as tags. */
static char *plain_text(const char *markup)
{
	static const struct {
		const char *markup;
		char plain;
	} table[] = {
		{ "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' }, { "<br>", '\n' },
	};
	GString *text = g_string_new(NULL);

	while (*markup) {
		gsize i;

		for (i = 0; i < G_N_ELEMENTS(table) && !g_str_has_prefix(markup, table[i].markup); i++)
			;
		if (i < G_N_ELEMENTS(table)) {
			g_string_append_c(text, table[i].plain);
			markup += strlen(table[i].markup);
		} else if (g_str_has_prefix(markup, "&#")) {
			gboolean hex = markup[2] == 'x';
			char *end;
			guint64 code = g_ascii_strtoull(markup + (hex ? 3 : 2), &end, hex ? 16 : 10);

			if (*end == ';' && code && g_unichar_validate((gunichar) code)) {
				g_string_append_unichar(text, (gunichar) code);
				markup = end + 1;
			} else {
				g_string_append_c(text, *markup++);
			}
		} else {
			g_string_append_c(text, *markup++);
		}
	}
	return g_string_free(text, FALSE);
}

/* "This message was not delivered ...:\n<font ...></b>TEXT<b></font>" */
static void send_failed(PurpleConversation *conversation, const char *message)
{
	const char *start = strstr(message, "</b>");
	const char *end = g_strrstr(message, "<b></font>");
	char *markup, *text;

	if (!start || !end || end < start + strlen("</b>")) {
		text = plain_text(message);
		room_event("room-error", conversation);
	} else {
		start += strlen("</b>");
		markup = g_strndup(start, end - start);
		text = plain_text(markup);
		g_free(markup);
		room_event("send-failed", conversation);
	}
	event_text("text", text);
	event_end();
	g_free(text);
}

static void write_conv(PurpleConversation *conversation, const char *name, const char *alias, const char *message,
		       PurpleMessageFlags flags, time_t when)
{
	char *text;

	(void) alias;
	if (flags & PURPLE_MESSAGE_ERROR) {
		send_failed(conversation, message);
		return;
	}
	/* libpurple's own remarks say in words what other events say already. */
	if (flags & PURPLE_MESSAGE_SYSTEM)
		return;
	text = plain_text(message);
	room_event("message", conversation);
	event_text("from", name);
	event_text("text", text);
	event_number("ts", when);
	event_flag("history", history_uri != NULL);
	event_end();
	g_free(text);
	if (history_uri)
		history_messages++;
}

static void part_now(PurpleConversation *conversation)
{
	/* Tells the protocol to leave, too. */
	purple_conversation_destroy(conversation);
}

static void history_ends(void)
{
	PurpleConversation *conversation;
	Room *room;

	if (!history_uri)
		return;
	conversation = find_by_uri(history_uri);
	event_begin("history");
	event_text("room", conversation ? purple_conversation_get_name(conversation) : NULL);
	event_text("uri", history_uri);
	event_number("messages", history_messages);
	event_end();
	g_free(history_uri);
	history_uri = NULL;
	history_messages = 0;
	room = conversation ? room_of(conversation) : NULL;
	if (room) {
		room->history_pending = FALSE;
		if (room->part_timer)
			part_now(conversation);
	}
}

static gboolean history_is_read(gpointer data)
{
	(void) data;
	history_timer = 0;
	history_ends();
	return G_SOURCE_REMOVE;
}

/* SIPE shows the messages of a history before it returns to the main loop. */
void rooms_history_begins(char *uri)
{
	history_ends();
	history_uri = uri ? uri : g_strdup("");
	if (!history_timer)
		history_timer = g_idle_add_full(G_PRIORITY_HIGH, history_is_read, NULL, NULL);
}

static void topic_changed(PurpleConversation *conversation, const char *who, const char *topic, gpointer data)
{
	(void) who;
	(void) data;
	/* Rejoining clears the topic before the server's one is set. */
	if (!topic)
		return;
	room_event("topic", conversation);
	event_text("topic", topic);
	event_end();
}

static void add_users(PurpleConversation *conversation, GList *users, gboolean arrived)
{
	for (; users; users = users->next) {
		PurpleConvChatBuddy *user = users->data;

		room_event("member-join", conversation);
		event_text("user", purple_conv_chat_cb_get_name(user));
		event_flag("arrived", arrived);
		event_end();
	}
}

static void remove_users(PurpleConversation *conversation, GList *users)
{
	PurpleConvChat *chat = purple_conversation_get_chat_data(conversation);

	for (; users; users = users->next) {
		/* Clearing a roster calls this before it takes the users off: nobody has left then. */
		if (account_is_closing() || purple_conv_chat_find_user(chat, users->data))
			continue;
		room_event("member-part", conversation);
		event_text("user", users->data);
		event_end();
	}
}

static void update_user(PurpleConversation *conversation, const char *user)
{
	PurpleConvChat *chat = purple_conversation_get_chat_data(conversation);

	room_event("member-update", conversation);
	event_text("user", user);
	event_flag("manager", purple_conv_chat_user_get_flags(chat, user) & PURPLE_CBFLAGS_OP);
	event_end();
}

PurpleConversationUiOps *conversation_ops(void)
{
	static PurpleConversationUiOps ops = {
		.create_conversation = create_conversation,
		.write_conv = write_conv,
		.chat_add_users = add_users,
		.chat_remove_users = remove_users,
		.chat_update_user = update_user,
	};
	return &ops;
}

static void signed_off(PurpleConnection *connection, gpointer data)
{
	(void) connection;
	(void) data;
	/* SIPE forgets its rooms with the connection. */
	g_hash_table_remove_all(leaving);
}

void rooms_init(void)
{
	static int handle;
	void *conversations = purple_conversations_get_handle();

	leaving = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	purple_signal_connect(conversations, "chat-joined", &handle, PURPLE_CALLBACK(chat_joined), NULL);
	purple_signal_connect(conversations, "deleting-conversation", &handle, PURPLE_CALLBACK(deleting_conversation), NULL);
	purple_signal_connect(purple_connections_get_handle(), "signed-off", &handle, PURPLE_CALLBACK(signed_off), NULL);
	purple_signal_connect(conversations, "chat-topic-changed", &handle, PURPLE_CALLBACK(topic_changed), NULL);
}

/* --- the room list --- */

static void add_listed_room(PurpleRoomlist *list, PurpleRoomlistRoom *room)
{
	GList *value = purple_roomlist_room_get_fields(room);

	event_begin("room");
	event_text("name", purple_roomlist_room_get_name(room));
	for (GList *l = purple_roomlist_get_fields(list); l && value; l = l->next, value = value->next) {
		const PurpleRoomlistField *field = l->data;

		switch (field->type) {
		case PURPLE_ROOMLIST_FIELD_BOOL:
			event_flag(field->name, GPOINTER_TO_INT(value->data) != 0);
			break;
		case PURPLE_ROOMLIST_FIELD_INT:
			event_number(field->name, GPOINTER_TO_INT(value->data));
			break;
		case PURPLE_ROOMLIST_FIELD_STRING:
			event_text(field->name, value->data);
			break;
		}
	}
	event_end();
	listed++;
}

static void listing_progress(PurpleRoomlist *list, gboolean in_progress)
{
	if (in_progress || list_starting || list != listing)
		return;
	event_begin("rooms-done");
	event_number("rooms", listed);
	event_end();
	listing = NULL;
}

static void listing_created(PurpleRoomlist *list)
{
	listing = list;
	listed = 0;
}

static void listing_destroyed(PurpleRoomlist *list)
{
	if (list == listing)
		listing = NULL;
}

PurpleRoomlistUiOps *roomlist_ops(void)
{
	static PurpleRoomlistUiOps ops = {
		.create = listing_created,
		.add_room = add_listed_room,
		.in_progress = listing_progress,
		.destroy = listing_destroyed,
	};
	return &ops;
}

/* --- commands --- */

static gboolean signed_in(const char *command)
{
	if (account_is_connected())
		return TRUE;
	event_error(command, "not signed in");
	return FALSE;
}

static PurpleConversation *open_room(const char *command, const char *name)
{
	PurpleConversation *conversation = find_room(name);

	if (!conversation)
		event_error(command, "not in room %s", name);
	return conversation;
}

void rooms_list(const char *command)
{
	PurpleRoomlist *list;

	if (!signed_in(command))
		return;
	list_starting = TRUE;
	list = purple_roomlist_get_list(account_connection());
	list_starting = FALSE;
	if (!list)
		event_error(command, "Group Chat is not up");
}

void rooms_join(const char *command, const char *name)
{
	PurpleConnection *connection = account_connection();
	PurplePlugin *plugin = connection ? purple_connection_get_prpl(connection) : NULL;
	GHashTable *components;
	const char *uri;

	/* A room may be asked for as soon as the client is signing in: it joins once Group Chat is up. */
	if (!plugin || account_is_closing()) {
		event_error(command, "not signed in");
		return;
	}
	if (g_str_has_prefix(name, "ma-chan://")) {
		components = g_hash_table_new(g_str_hash, g_str_equal);
		g_hash_table_insert(components, "uri", (gpointer) name);
	} else {
		/* As a desktop client does when a row of the room list is double-clicked. */
		components = PURPLE_PLUGIN_PROTOCOL_INFO(plugin)->chat_info_defaults(connection, name);
	}
	uri = g_hash_table_lookup(components, "uri");
	if (uri && g_hash_table_contains(leaving, uri)) {
		/* SIPE would bring the window to the front that it has freed. */
		event_error(command, "still leaving %s: wait for \"left\"", uri);
	} else if (uri) {
		event_begin("joining");
		event_text("uri", uri);
		/* SIPE sends nothing for a room that is open. */
		event_flag("open", find_by_uri(uri) != NULL);
		event_end();
		serv_join_chat(connection, components);
	} else {
		event_error(command, "no room of the name %s in the list fetched last", name);
	}
	g_hash_table_destroy(components);
}

/* What a user types becomes markup, as in a desktop client's input box. */
static char *typed_markup(const char *text)
{
	GString *markup = g_string_new(NULL);

	for (; *text; text++) {
		switch (*text) {
		case '&':  g_string_append(markup, "&amp;"); break;
		case '<':  g_string_append(markup, "&lt;"); break;
		case '>':  g_string_append(markup, "&gt;"); break;
		case '"':  g_string_append(markup, "&quot;"); break;
		case '\n': g_string_append(markup, "<br>"); break;
		default:   g_string_append_c(markup, *text);
		}
	}
	return g_string_free(markup, FALSE);
}

void rooms_say(const char *command, const char *name, const char *text)
{
	PurpleConversation *conversation;
	char *markup;

	if (!signed_in(command))
		return;
	conversation = open_room(command, name);
	if (!conversation)
		return;
	room_event("said", conversation);
	event_text("text", text);
	event_end();
	markup = typed_markup(text);
	purple_conv_chat_send(purple_conversation_get_chat_data(conversation), markup);
	g_free(markup);
}

static gboolean history_never_came(gpointer conversation)
{
	room_of(conversation)->part_timer = 0;
	event_error("part", "not left: no history of %s within %d s", room_of(conversation)->uri, HISTORY_PATIENCE);
	return G_SOURCE_REMOVE;
}

void rooms_part(const char *command, const char *name)
{
	PurpleConversation *conversation = open_room(command, name);
	Room *room;

	if (!conversation)
		return;
	room = room_of(conversation);
	if (!account_is_connected() || !room->history_pending)
		part_now(conversation);
	else if (!room->part_timer)
		room->part_timer = g_timeout_add_seconds(HISTORY_PATIENCE, history_never_came, conversation);
}

void rooms_members(const char *command, const char *name)
{
	PurpleConversation *conversation = open_room(command, name);

	if (!conversation)
		return;
	room_event("members", conversation);
	event_text("topic", purple_conv_chat_get_topic(purple_conversation_get_chat_data(conversation)));
	event_list_begin("members");
	for (GList *l = purple_conv_chat_get_users(purple_conversation_get_chat_data(conversation)); l; l = l->next) {
		PurpleConvChatBuddy *user = l->data;

		event_item_begin();
		event_text("user", purple_conv_chat_cb_get_name(user));
		event_flag("manager", user->flags & PURPLE_CBFLAGS_OP);
		event_item_end();
	}
	event_list_end();
	event_end();
}
