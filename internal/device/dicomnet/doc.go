// Package dicomnet speaks DICOM over TCP or TLS: the upper layer protocol of
// PS3.8 and, of PS3.7, the messages C-ECHO and C-STORE, as acceptor (Server) and
// as requestor (Requestor.Dial).
//
// It trusts no peer. Every length is checked before memory is taken for it, an
// object's data go to the caller as they come and are never kept, associations
// are bounded in number, and whoever is silent for too long is dropped. Objects
// are passed on as they are sent, in the transfer syntax that was agreed upon.
//
// It knows nothing of what objects are: where they are kept and what is done with
// them is for its callers, package dicomnode and tests. It logs titles, addresses
// and counts, and nothing that is in a message. The standard is at
// https://dicom.nema.org.
package dicomnet
