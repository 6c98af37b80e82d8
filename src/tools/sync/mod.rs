//! What goes along to another machine, and what never does.
