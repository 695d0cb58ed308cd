//! The integration tests of `snapshot`.

mod enumerated;
mod histories;
mod model;
mod world;
