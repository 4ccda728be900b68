/* libpurple's timers and sockets on the GLib main loop. */

#include "driver.h"

#include <glib-unix.h>

typedef struct {
	PurpleInputFunction call;
	gpointer data;
} Watch;

static gboolean watch_ready(gint fd, GIOCondition condition, gpointer data)
{
	Watch *watch = data;
	PurpleInputCondition ready = 0;

	/* A hang-up is shown to readers and writers alike: their read or write then fails. */
	if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR | G_IO_NVAL))
		ready |= PURPLE_INPUT_READ;
	if (condition & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL))
		ready |= PURPLE_INPUT_WRITE;
	watch->call(watch->data, fd, ready);
	return G_SOURCE_CONTINUE;
}

static guint input_add(int fd, PurpleInputCondition condition, PurpleInputFunction call, gpointer data)
{
	Watch *watch = g_new(Watch, 1);
	GIOCondition wanted = G_IO_HUP | G_IO_ERR | G_IO_NVAL;

	watch->call = call;
	watch->data = data;
	if (condition & PURPLE_INPUT_READ)
		wanted |= G_IO_IN;
	if (condition & PURPLE_INPUT_WRITE)
		wanted |= G_IO_OUT;
	return g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, wanted, watch_ready, watch, g_free);
}

int loop_minute = 60;

/* The client's long waits, which a script may shorten. */
static guint timeout_add_seconds(guint seconds, GSourceFunc call, gpointer data)
{
	return g_timeout_add(seconds * loop_minute * 1000 / 60, call, data);
}

PurpleEventLoopUiOps *loop_ops(void)
{
	static PurpleEventLoopUiOps ops = {
		.timeout_add = g_timeout_add,
		.timeout_remove = g_source_remove,
		.input_add = input_add,
		.input_remove = g_source_remove,
		.timeout_add_seconds = timeout_add_seconds,
	};
	return &ops;
}
