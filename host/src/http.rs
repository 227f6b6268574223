//! The front door. The only room that knows hyper's server side and status codes.
