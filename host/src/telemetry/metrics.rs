//! Every figure that `/metrics` shows, in one place.
