/*
 * The peer of `cargo xtask bench log`: durable commits inside a PostgreSQL server, without SQL, rows or a client.
 *
 * commit_between(starts, ends): waits until the time `starts`, then commits transactions one after the other until
 * `ends` (microseconds since 2000). A transaction is three records: two of 100 bytes (logical messages, which redo does
 * nothing with) and its commit. commits_done(): how many that were.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(commit_between);
PG_FUNCTION_INFO_V1(commits_done);

/* 24 of the record's header, 2 of the data's, 24 of the message's, 1 of its prefix. */
static const char message[100 - 51] = "row";
static int64 done;

Datum
commit_between(PG_FUNCTION_ARGS)
{
	int64		starts = PG_GETARG_INT64(0);
	int64		ends = PG_GETARG_INT64(1);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	while (GetCurrentTimestamp() < starts)
		pg_usleep(100);
	for (done = 0; GetCurrentTimestamp() < ends; done++)
	{
		LogLogicalMessage("", message, sizeof(message), true);
		LogLogicalMessage("", message, sizeof(message), true);
		SPI_commit();
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
commits_done(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(done);
}
