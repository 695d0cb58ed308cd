//! The integration tests of `wal`: one binary, a module for each thing that is tested.

mod control_files;
mod corpus;
mod damage;
mod encode;
mod exercise;
mod flips;
mod flips_repaired;
mod flips_targets;
mod flips_waldump;
mod image;
mod inspect;
mod random_logs;
mod reader;
mod reader_damage;
mod reader_ways;
mod source;
mod synthetic;
mod write;
