//! Nothing: the tests are in `e2e` and `tidy.rs`, this only makes a package of them.
