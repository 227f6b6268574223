//! The definition reads the seed JSON and names every problem.
