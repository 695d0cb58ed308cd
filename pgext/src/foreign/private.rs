//! What a plan keeps for its execution: node lists, since the server copies plans.

use pgrx::pg_sys;

use super::column::Column;
use super::condition::Operator;
use crate::ffi::list;

/// `fdw_private` of a plan; the values of its conditions are in `fdw_exprs`, in the same order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Private {
    /// The attribute numbers that the query asks for.
    pub(crate) attributes: Vec<i32>,
    /// The conditions that reading decides.
    pub(crate) conditions: Vec<(Column, Operator)>,
}

impl Private {
    /// As a list of two lists: the attributes; column and operator of each condition.
    pub(crate) fn to_list(&self) -> *mut pg_sys::List {
        let conditions = self.conditions.iter();
        let conditions =
            conditions.flat_map(|(column, operator)| [*column as i32, *operator as i32]);
        list::of_pointers([
            list::of_integers(self.attributes.iter().copied()),
            list::of_integers(conditions),
        ])
    }

    /// Back from the list.
    ///
    /// # Safety
    /// The list must be one of [`Private::to_list`], or a copy.
    #[expect(unsafe_code)]
    pub(crate) unsafe fn of_list(list: *mut pg_sys::List) -> Private {
        // SAFETY: as the caller says.
        let lists: Vec<Vec<i32>> =
            unsafe { list::pointers(list).map(|list| list::integers(list)).collect() };
        let [attributes, conditions] = &lists[..] else { panic!("a plan of another version") };
        let conditions = conditions.chunks_exact(2).map(|pair| {
            let condition = Column::of_number(pair[0]).zip(Operator::of_number(pair[1]));
            condition.expect("a plan of another version")
        });
        Private { attributes: attributes.clone(), conditions: conditions.collect() }
    }
}
