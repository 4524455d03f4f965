//! Lists: moving several elements at once.
//!
//! For: LMOVEM, and BLMOVEM, which waits for the elements. May touch: what `Cx` carries.
//! Always: both keys are looked at before either changes; what a follower hears of BLMOVEM is LMOVEM with the
//! number of elements that were moved.

use super::blocking::{block, parse_timeout};
use super::list::{GROW, limits, pop_event, push_event, row, take, write_element};
use super::list_move::{MOVES, positive, side};
use crate::command::{Command, Cursor, Cx, Flags, Outcome, Wait};
use crate::fault::Fault;
use crate::keyspace::Kind;
use crate::resp::Args;
use crate::value::List;
use crate::value::list::{Element, OwnedElement, Side};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("BLMOVEM", blmovem)
        .arity(-6)
        .flags(GROW.union(Flags::BLOCKING))
        .keys(MOVES)
        .since("8.10.0")
        .cost("O(N), N elements moved.")
        .doc(
            "Takes elements from an end of a list, puts them at an end of another and answers them; waits until \
             there are enough.",
            "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout:double \
             [<selector=<COUNT count | EXACTLY exactly:integer> ordering=<OBO | BULK>>]",
        ),
    row("LMOVEM", lmovem).arity(-5).flags(GROW).keys(MOVES).since("8.10.0").cost("O(N), N moved.").doc(
        "Takes elements from an end of a list, puts them at an end of another and answers them.",
        "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> \
         [<selector=<COUNT count | EXACTLY exactly:integer> ordering=<OBO | BULK>>]",
    ),
];

/// What to move.
struct Moving {
    from: Side,
    to: Side,
    /// How many elements, at least one.
    count: usize,
    /// Nothing is moved unless there are so many.
    is_exact: bool,
    /// The elements keep the order they had in the source.
    keeps_order: bool,
}

impl Moving {
    /// Reads the ends, and the options from argument `options_at` on.
    fn parse(args: &Args<'_>, options_at: usize) -> Result<Moving, Fault> {
        let (from, to) = (side(args.get(3))?, side(args.get(4))?);
        let mut moving = Moving { from, to, count: 1, is_exact: false, keeps_order: false };
        let mut cursor = Cursor::new(*args, options_at);
        if cursor.is_end() {
            return Ok(moving);
        }
        moving.is_exact = cursor.word("EXACTLY");
        if !moving.is_exact && !cursor.word("COUNT") {
            return Err(Fault::SYNTAX);
        }
        moving.count = positive(cursor.need()?).ok_or_else(|| Fault::not_above_zero("count"))?;
        moving.keeps_order = cursor.word("BULK");
        if !moving.keeps_order && !cursor.word("OBO") {
            return Err(Fault::SYNTAX);
        }
        cursor.end()?;
        Ok(moving)
    }

    /// Moves from the list at argument 1 to that at argument 2 and answers what was moved, in the order in
    /// which it lies there. Answers how many they were; 0: nothing was moved and nothing answered.
    fn run(&self, cx: &mut Cx<'_>, args: &Args<'_>) -> Result<usize, Fault> {
        let (source, destination) = (args.get(1), args.get(2));
        let limits = limits(cx.settings);
        let mut w = cx.db.open(source);
        let Some(list) = w.view::<List>()? else { return Ok(0) };
        let taken = self.count.min(list.len());
        if self.is_exact && taken < self.count {
            return Ok(0);
        }
        let mut elements = Vec::with_capacity(taken);
        list.each_from(self.from, taken, |element: Element<'_>| elements.push(element.to_owned()));
        // Put one after another at the end they came from, they would change their order.
        if self.keeps_order && self.from == self.to {
            elements.reverse();
        }
        let push = |list: &mut List| elements.iter().for_each(|it| list.push_moved(self.to, it, limits));
        if source == destination {
            w.update(|list: &mut List| {
                list.drop(self.from, taken, limits);
                push(list);
            });
            w.also(push_event(self.to));
            w.commit(pop_event(self.from));
        } else {
            drop(w);
            let mut w = cx.db.open(destination);
            w.view::<List>()?;
            w.update(push);
            w.commit_counting(push_event(self.to), 0);
            let mut w = cx.db.open(source);
            take(&mut w, self.from, taken, limits);
            w.commit(pop_event(self.from));
        }
        cx.out.array(taken);
        let mut answer = |element: &OwnedElement| write_element(cx.out, element.as_element());
        match self.to {
            Side::Right => elements.iter().for_each(&mut answer),
            Side::Left => elements.iter().rev().for_each(&mut answer),
        }
        Ok(taken)
    }
}

fn blmovem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let moving = Moving::parse(&args, 6)?;
    let until_ms = parse_timeout(args.get(5), cx.db.now_ms())?;
    let moved = moving.run(cx, &args)?;
    if moved == 0 {
        let wait = Wait { until_ms, target: Some(2), ..Wait::new([1], Kind::List) };
        return Ok(block(cx, wait, |cx| cx.out.null_array()));
    }
    if cx.db.logs() {
        let (mut digits, order) = (itoa::Buffer::new(), if moving.keeps_order { "BULK" } else { "OBO" });
        let (count, order) = (digits.format(moved).as_bytes(), order.as_bytes());
        let [source, destination, from, to] = [1, 2, 3, 4].map(|at| args.get(at));
        cx.db.propagate(&[b"LMOVEM", source, destination, from, to, b"EXACTLY", count, order]);
    }
    Ok(Outcome::Done)
}

fn lmovem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let moving = Moving::parse(&args, 5)?;
    if moving.run(cx, &args)? == 0 {
        if moving.is_exact {
            cx.out.null_array();
        } else {
            cx.out.array(0);
        }
    }
    Ok(Outcome::Done)
}
