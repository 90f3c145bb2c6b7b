//! Does the implementation say what the protocol's published vectors say, do code and tests cover the requirements of `spec/`, and does any
//! implementation keep them, seen from outside? Knows the shape of the vector file, of requirements and their annotations, and the public
//! interface of `proto-core`; changes none of them.

pub mod probe;
pub mod requirements;
pub mod vectors;
