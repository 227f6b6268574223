//! Nothing: a package needs a library to have examples, and the examples are the guests.
