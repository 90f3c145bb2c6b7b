//! Is every numbered requirement of `spec/` implemented and tested, as comments in code and tests say in its exact words?
//!
//! Decides what a requirement and an annotation are, and whether the one is covered by the others. Refuses to know the protocol: a
//! quote beside the wrong line is for a reader to notice.

mod annotation;
mod gate;
mod html;
mod specification;
mod tree;

pub use annotation::{Annotation, Kind, annotations};
pub use gate::{ENFORCED, Report, Row, Section, judge};
pub use html::page;
pub use specification::{Level, Requirement, Specification};
pub use tree::{annotations_below, specification_of};
