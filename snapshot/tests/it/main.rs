//! The integration tests of `snapshot`.

mod cache;
mod enumerated;
mod histories;
mod model;
mod registry;
mod world;
