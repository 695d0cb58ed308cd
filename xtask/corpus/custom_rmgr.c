/*
 * A custom resource manager, for records of one in the corpus. Recovery has nothing to do for them.
 *
 * Preloaded by the server; corpus_custom_record(info, data) then writes a record, and returns its end.
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/pg_lsn.h"

#define CORPUS_RMGR_ID 200

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(corpus_custom_record);

static void
redo(XLogReaderState *record)
{
}

static void
describe(StringInfo buf, XLogReaderState *record)
{
	appendStringInfo(buf, "%u bytes of the corpus", XLogRecGetDataLen(record));
}

static const char *
identify(uint8 info)
{
	switch (info & ~XLR_INFO_MASK)
	{
		case 0x00:
			return "PLAIN";
		case 0x10:
			return "OTHER";
		default:
			return NULL;
	}
}

static RmgrData corpus_rmgr = {
	.rm_name = "corpus_custom",
	.rm_redo = redo,
	.rm_desc = describe,
	.rm_identify = identify
};

void
_PG_init(void)
{
	RegisterCustomRmgr(CORPUS_RMGR_ID, &corpus_rmgr);
}

Datum
corpus_custom_record(PG_FUNCTION_ARGS)
{
	uint8		info = (uint8) PG_GETARG_INT32(0);
	bytea	   *data = PG_GETARG_BYTEA_PP(1);

	XLogBeginInsert();
	if (VARSIZE_ANY_EXHDR(data) > 0)
		XLogRegisterData(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	PG_RETURN_LSN(XLogInsert(CORPUS_RMGR_ID, info));
}
