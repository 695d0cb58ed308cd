//! The columns that a foreign table over a log can have: their names, their types, and in which form of row they are.
//!
//! The names, types and order are those of pg_walinspect: of `pg_get_wal_records_info`, and of 16's
//! `pg_get_wal_block_info`.

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A record.
    Record,
    /// A block reference of a record.
    Block,
}

/// SQL types by their object ids, which never change (`pg_type.dat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Type {
    /// `bytea`
    Bytea = 17,
    /// `bigint`
    Int8 = 20,
    /// `smallint`
    Int2 = 21,
    /// `integer`
    Int4 = 23,
    /// `text`
    Text = 25,
    /// `oid`
    Oid = 26,
    /// `xid`
    Xid = 28,
    /// `text[]`
    TextArray = 1009,
    /// `pg_lsn`
    Lsn = 3220,
}

impl Type {
    /// The type's name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Bytea => "bytea",
            Type::Int8 => "bigint",
            Type::Int2 => "smallint",
            Type::Int4 => "integer",
            Type::Text => "text",
            Type::Oid => "oid",
            Type::Xid => "xid",
            Type::TextArray => "text[]",
            Type::Lsn => "pg_lsn",
        }
    }
}

macro_rules! columns {
    ($($column:ident, $name:literal, $type:ident, $record:literal, $block:literal;)+) => {
        /// A column.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(i32)]
        pub(crate) enum Column {
            $(#[doc = $name] $column,)+
        }

        impl Column {
            /// Every column, in order.
            pub(crate) const ALL: &[Column] = &[$(Column::$column),+];

            /// Its name in SQL.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Column::$column => $name),+ }
            }

            /// Its type.
            pub(crate) fn sql_type(self) -> Type {
                match self { $(Column::$column => Type::$type),+ }
            }

            fn is_in(self, form: Form) -> bool {
                let (record, block) = match self { $(Column::$column => ($record, $block)),+ };
                match form { Form::Record => record, Form::Block => block }
            }
        }
    };
}

columns! {
    // column, name, type, of a record, of a block
    StartLsn, "start_lsn", Lsn, true, true;
    EndLsn, "end_lsn", Lsn, true, true;
    PrevLsn, "prev_lsn", Lsn, true, true;
    BlockId, "block_id", Int2, false, true;
    RelTablespace, "reltablespace", Oid, false, true;
    RelDatabase, "reldatabase", Oid, false, true;
    RelFileNode, "relfilenode", Oid, false, true;
    RelForkNumber, "relforknumber", Int2, false, true;
    RelBlockNumber, "relblocknumber", Int8, false, true;
    Xid, "xid", Xid, true, true;
    ResourceManager, "resource_manager", Text, true, true;
    RecordType, "record_type", Text, true, true;
    RecordLength, "record_length", Int4, true, true;
    MainDataLength, "main_data_length", Int4, true, true;
    FpiLength, "fpi_length", Int4, true, false;
    BlockDataLength, "block_data_length", Int4, false, true;
    BlockFpiLength, "block_fpi_length", Int4, false, true;
    BlockFpiInfo, "block_fpi_info", TextArray, false, true;
    Description, "description", Text, true, true;
    BlockRef, "block_ref", Text, true, false;
    BlockData, "block_data", Bytea, false, true;
    BlockFpiData, "block_fpi_data", Bytea, false, true;
}

impl Column {
    /// The column of this name in rows of this form.
    pub(crate) fn of_name(form: Form, name: &str) -> Option<Column> {
        Column::of(form).find(|column| column.name() == name)
    }

    /// The columns of this form, in order.
    pub(crate) fn of(form: Form) -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(move |column| column.is_in(form))
    }

    /// Back from the number that it has as an `i32`.
    pub(crate) fn of_number(number: i32) -> Option<Column> {
        Column::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(form: Form) -> Vec<&'static str> {
        Column::of(form).map(Column::name).collect()
    }

    #[test]
    fn the_columns_are_those_of_pg_walinspect() {
        let record = "start_lsn end_lsn prev_lsn xid resource_manager record_type record_length \
                      main_data_length fpi_length description block_ref";
        assert_eq!(names(Form::Record).join(" "), record);
        let block = "start_lsn end_lsn prev_lsn block_id reltablespace reldatabase relfilenode relforknumber \
                     relblocknumber xid resource_manager record_type record_length main_data_length \
                     block_data_length block_fpi_length block_fpi_info description block_data block_fpi_data";
        assert_eq!(names(Form::Block).join(" "), block);
    }

    #[test]
    fn numbers_are_places() {
        for (place, column) in Column::ALL.iter().enumerate() {
            assert_eq!(*column as usize, place);
            assert_eq!(Column::of_number(place as i32), Some(*column));
        }
        assert_eq!(Column::of_number(-1), None);
    }
}
