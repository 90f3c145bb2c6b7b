//! Discovery, classification and the punch rule, in virtual time.
