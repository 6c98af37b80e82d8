//! `agent tags`.

use super::args::TagsArgs;
use crate::ec2::report::{self, Told};

pub(super) fn main(args: &TagsArgs) -> u8 {
    match report::run(args.config.as_ref(), args.wait) {
        Told::All | Told::Nothing => 0,
        Told::NotAll => 1,
        Told::NoEnd(state) => {
            eprintln!(
                "agent: tags: the state is {}, so there is no end to tell; `agent status --wait` waits for it",
                state.word()
            );
            state.exit_code()
        }
    }
}
