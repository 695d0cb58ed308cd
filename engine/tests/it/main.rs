//! The integration tests of `engine`: one binary, a module for each thing that is tested.

mod heap_redo;
mod random;
mod record;
