/* Boxes become events; questions are answered by rule, and told as events too. */

#include "driver.h"

#include <string.h>

static CertificateAnswer certificate_answer = CERTIFICATE_REFUSE;

void dialogs_answer_certificates(CertificateAnswer answer)
{
	certificate_answer = answer;
}

/* --- notify --- */

static void *notify_message(PurpleNotifyMsgType type, const char *title, const char *primary, const char *secondary)
{
	static const char *const levels[] = { "error", "warning", "info" };

	event_begin("notify");
	event_text("level", (guint) type < G_N_ELEMENTS(levels) ? levels[type] : "?");
	event_text("window", title);
	event_text("title", primary);
	event_text("text", secondary);
	event_end();
	return NULL;
}

static void *notify_formatted(const char *title, const char *primary, const char *secondary, const char *text)
{
	(void) secondary;
	event_begin("notify");
	event_text("level", "info");
	event_text("window", title);
	event_text("title", primary);
	event_text("text", text);
	event_end();
	return NULL;
}

PurpleNotifyUiOps *notify_ops(void)
{
	static PurpleNotifyUiOps ops = { .notify_message = notify_message, .notify_formatted = notify_formatted };
	return &ops;
}

/* --- request --- */

/* A question under way: libpurple may close it before, or while, it is answered. */
typedef struct {
	guint source;
	GCallback call; /* (user_data, index or fields); NULL when nobody answers */
	gpointer user_data;
	int index;
	PurpleRequestFields *fields;
	PurpleRequestType type;
} Question;

static GSList *open_questions;

static gboolean answer_question(gpointer data)
{
	Question *question = data;
	PurpleRequestType type = question->type;

	question->source = 0;
	if (type == PURPLE_REQUEST_ACTION)
		((PurpleRequestActionCb) question->call)(question->user_data, question->index);
	else if (type == PURPLE_REQUEST_FIELDS)
		((void (*)(gpointer, PurpleRequestFields *)) question->call)(question->user_data, question->fields);
	else
		((void (*)(gpointer, const char *)) question->call)(question->user_data, NULL);
	if (g_slist_find(open_questions, question))
		purple_request_close(type, question);
	return G_SOURCE_REMOVE;
}

static void close_request(PurpleRequestType type, void *handle)
{
	Question *question = handle;

	(void) type;
	open_questions = g_slist_remove(open_questions, question);
	if (question->source)
		g_source_remove(question->source);
	if (question->fields)
		purple_request_fields_destroy(question->fields);
	g_free(question);
}

/* Answers from the main loop: libpurple does not expect an answer before it has the handle. */
static Question *ask(PurpleRequestType type, GCallback call, int index, gpointer user_data)
{
	Question *question = g_new0(Question, 1);

	question->type = type;
	question->call = call;
	question->index = index;
	question->user_data = user_data;
	open_questions = g_slist_prepend(open_questions, question);
	if (call)
		question->source = g_idle_add(answer_question, question);
	return question;
}

static void tell_question(const char *title, const char *primary, const char *secondary, const char *answer)
{
	event_begin("question");
	event_text("window", title);
	event_text("title", primary);
	event_text("text", secondary);
	event_text("answer", answer);
	event_end();
}

static gboolean is_label(const char *label, const char *wanted)
{
	return g_ascii_strcasecmp(label[0] == '_' ? label + 1 : label, wanted) == 0;
}

static void *request_action(const char *title, const char *primary, const char *secondary, int default_action,
			    PurpleAccount *account, const char *who, PurpleConversation *conversation,
			    void *user_data, size_t count, va_list actions)
{
	const char *wanted = certificate_answer == CERTIFICATE_ACCEPT ? "Accept" : "Reject";
	const char *answer = NULL;
	GCallback call = NULL;
	gboolean about_certificate = FALSE;
	int chosen = -1;

	(void) default_action;
	(void) account;
	(void) who;
	(void) conversation;
	for (size_t i = 0; i < count; i++) {
		const char *label = va_arg(actions, const char *);
		GCallback action = va_arg(actions, GCallback);

		if (is_label(label, "Reject"))
			about_certificate = TRUE;
		/* Whatever else is asked is declined. */
		if (is_label(label, wanted) || (chosen < 0 && (is_label(label, "Cancel") || is_label(label, "No")))) {
			chosen = (int) i;
			answer = label;
			call = action;
		}
	}
	if (about_certificate && certificate_answer == CERTIFICATE_IGNORE)
		call = NULL;
	tell_question(title, primary, secondary, call ? answer : NULL);
	return ask(PURPLE_REQUEST_ACTION, call, chosen, user_data);
}

static void *request_input(const char *title, const char *primary, const char *secondary, const char *default_value,
			   gboolean multiline, gboolean masked, gchar *hint, const char *ok_text, GCallback ok_call,
			   const char *cancel_text, GCallback cancel_call, PurpleAccount *account, const char *who,
			   PurpleConversation *conversation, void *user_data)
{
	(void) default_value;
	(void) multiline;
	(void) masked;
	(void) hint;
	(void) ok_text;
	(void) ok_call;
	(void) account;
	(void) who;
	(void) conversation;
	tell_question(title, primary, secondary, cancel_text);
	return ask(PURPLE_REQUEST_INPUT, cancel_call, 0, user_data);
}

static void *request_fields(const char *title, const char *primary, const char *secondary, PurpleRequestFields *fields,
			    const char *ok_text, GCallback ok_call, const char *cancel_text, GCallback cancel_call,
			    PurpleAccount *account, const char *who, PurpleConversation *conversation, void *user_data)
{
	Question *question;

	(void) ok_text;
	(void) ok_call;
	(void) account;
	(void) who;
	(void) conversation;
	tell_question(title, primary, secondary, cancel_text);
	question = ask(PURPLE_REQUEST_FIELDS, cancel_call, 0, user_data);
	question->fields = fields;
	return question;
}

PurpleRequestUiOps *request_ops(void)
{
	static PurpleRequestUiOps ops = {
		.request_input = request_input,
		.request_action = request_action,
		.request_fields = request_fields,
		.close_request = close_request,
	};
	return &ops;
}
