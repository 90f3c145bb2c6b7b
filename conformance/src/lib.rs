//! Does the implementation say what the protocol's published vectors say? Knows the shape of the vector file and the public interface of `proto-core`; changes neither.

pub mod vectors;
