//! Which relations make the log grow: `strata.wal_stats_by_relation`. `wal_stats_by_table` (SQL) puts indexes and TOAST to
//! their tables.

use wal::stats::{RelationStatistics, Usage};

use crate::ffi::catalog::Relations;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::range::Range;

sql_functions!(wal_stats_by_relation);

/// So many records are counted before it is looked whether there are too many relations to be kept apart.
const STRETCH: u64 = 10_000;

/// A row a relation, the largest first; then one for all that were too many to be kept apart, and one for records of no
/// relation.
fn wal_stats_by_relation(call: &Call) -> Outcome {
    let range = Range::of(call)?;
    let mut rows = Rows::begin(call);
    let mut statistics = RelationStatistics::default();
    let mut stretch = RelationStatistics::default();
    let mut counted = 0;
    range.for_each(|record| {
        stretch.add(record);
        counted += 1;
        if counted == STRETCH {
            statistics.merge(&stretch);
            stretch.clear();
            counted = 0;
        }
        Ok(())
    })?;
    statistics.merge(&stretch);
    drop(stretch);
    let report = statistics.report(range.version(), range.start, usize::MAX);
    let mut relations = Relations::default();
    for row in &report.relations {
        let locator = row.locator;
        let relation = relations.find(locator).map_or(Value::Null, Value::Oid);
        let names = [
            relation,
            Value::Oid(locator.tablespace),
            Value::Oid(locator.database),
            Value::Oid(locator.relation),
            Value::Int8(1),
        ];
        put(&mut rows, names, &row.usage);
    }
    for (count, usage) in [(report.other_relations, &report.others), (0, &report.without_relation)]
    {
        if usage.records > 0 {
            let mut names = [Value::Null; 5];
            names[4] = Value::Int8(count as i64);
            put(&mut rows, names, usage);
        }
    }
    Ok(rows.end())
}

fn put(rows: &mut Rows, names: [Value<'_>; 5], usage: &Usage) {
    let mut values = [Value::Null; 18];
    values[..5].copy_from_slice(&names);
    values[5..10].copy_from_slice(&sums(usage));
    for (pair, (_, images)) in values[10..].chunks_exact_mut(2).zip(usage.images.by_cause()) {
        pair[0] = Value::Int8(images.count as i64);
        pair[1] = Value::Int8(images.bytes as i64);
    }
    rows.put(&values);
}

/// `records`, `record_size`, `fpi_count`, `fpi_size`, `combined_size`
pub(crate) fn sums(usage: &Usage) -> [Value<'static>; 5] {
    let images = usage.images.total();
    [
        Value::Int8(usage.records as i64),
        Value::Int8(usage.record_bytes as i64),
        Value::Int8(images.count as i64),
        Value::Int8(images.bytes as i64),
        Value::Int8(usage.bytes() as i64),
    ]
}
