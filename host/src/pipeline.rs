//! A pipeline's definition, where definitions are kept, and the walk through the stages.
