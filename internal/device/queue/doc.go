// Package queue keeps requests and their answers on disk, so that neither a
// killed process nor a power cut loses what was accepted.
//
// # A request's life
//
// [Queue.Accept] stores a request. [Queue.Next] hands it out, by turns between
// those who ask; [Queue.Started] notes that a worker begins with it. [Queue.Finish]
// replaces it by its answer and notes, in the same transaction, where the answer
// must go. [Queue.Deliveries] hands the
// answers of one destination out in order, [Queue.Delivered] notes that they
// arrived. The answer is kept for a while, so that a request that comes again
// under the same id gets the same bytes and is not worked on twice.
//
// # The order of durability
//
// Whatever a method has confirmed by returning nil is on the disk: the file is
// synced, and since its creation the folder too. Four promises follow, which the
// tests of this package hold against killed processes and against every state
// that a power cut can leave on a disk:
//
//   - A request that Accept confirmed is there until Finish confirmed its answer.
//     So it is Accept first, and only then the status "Image received.".
//   - A request has one answer. Finish refuses a second one, and an answer that
//     was confirmed never changes. Files that it names must be synced, with their
//     folders, before Finish.
//   - An answer is handed out until Delivered confirmed it, at least once, and
//     again after a crash in between. [Delivery.Attempt] tells: 1 is certainly the
//     first time.
//   - An answer is forgotten only after its delivery, by age or for want of room,
//     the oldest first.
//
// Order and age never go by the clock. Order is that of numbers which only grow;
// age is counted on a clock of the queue's own that never goes back, so that a
// device that wakes up in another year forgets nothing early.
//
// # What it costs
//
// Whoever waits to be stored shares one transaction with all others who wait; a
// lone request is stored at once. A transaction is two syncs of the disk. The
// start of the work on a request is noted without any: it must outlive the
// process only. Waiting documents and images are on the disk, not in memory.
//
// # Bounds
//
// Each way in (IPC, HTTP, a scan's slices) has a bound of its own in requests and
// in bytes, so that a flood on one leaves the others their places; beyond it
// [ErrBusy] comes at once, also while the disk does not answer. Answers are
// bounded together; while only undelivered ones are left, Accept says busy.
//
// # Trouble
//
// A disk that is full or fails gives [ErrStorage]; nothing is lost, and the queue
// goes on by itself once the disk does. A file that is damaged, at the start or
// later, is set aside under another name, reported to Options.Damaged, and never
// deleted; the queue goes on with a new one. A request that was in work when the
// process died is a suspect: of these one at a time is handed out, so that the next
// time tells which it was. One that must be the cause is handed out as
// [Work.Poisoned], to be answered without being tried again.
//
// # What it does not do
//
// It knows no topic, no document's form and no image; it sends nothing, times
// nothing out and logs nothing. Packages diskqueue and dicomnode call it.
//
// # Its rooms
//
// This package has the promises. What stands in the database is in records; what is
// known of it in memory is in backlog for requests, in answers for the rest; crashmarks
// tells the next process what this one died of.
package queue
