/*
 * The peer of `cargo xtask bench snapshot`: PostgreSQL's own GetSnapshotData in a loop.
 *
 * get_snapshot_data(loops, reuse): nanoseconds a call. With reuse off, the snapshot forgets before each call at which
 * completion count it was taken, so that every call reads the dense arrays. The session shows an xmin already, as a
 * statement's own snapshot is in use.
 */
#include "postgres.h"

#include "access/transam.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(get_snapshot_data);
PG_FUNCTION_INFO_V1(get_snapshot_length);

static SnapshotData measured = {SNAPSHOT_MVCC};

Datum
get_snapshot_data(PG_FUNCTION_ARGS)
{
	int64		loops = PG_GETARG_INT64(0);
	bool		reuse = PG_GETARG_BOOL(1);
	instr_time	began;
	instr_time	took;

	GetSnapshotData(&measured);
	INSTR_TIME_SET_CURRENT(began);
	for (int64 i = 0; i < loops; i++)
	{
		if (!reuse)
			measured.snapXactCompletionCount = 0;
		GetSnapshotData(&measured);
	}
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, began);
	CHECK_FOR_INTERRUPTS();
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(took) * 1e9 / loops);
}

/* How many running transactions the last one of them listed. */
Datum
get_snapshot_length(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) measured.xcnt);
}
