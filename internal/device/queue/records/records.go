// Package records is the queue's database: what stands in it, and how. Each function
// reads or changes it within a transaction of its caller.
//
// It keeps nothing in memory, opens no file, and knows nothing of turns, bounds and
// who waits for what. Package queue calls it.
package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// The buckets of the database. Requests and answers are records of boltfile. Every
// value ends in a checksum of its key and itself, so that a flipped bit anywhere is
// found.
var (
	bucketState      = []byte("state")      // names below
	bucketRequests   = []byte("requests")   // record: request, not answered
	bucketAnswers    = []byte("answers")    // record: answer
	bucketDeliveries = []byte("deliveries") // destination, 0, number: delivery
)

var (
	keyFormat = []byte("format") // layout of the database
	keyEpoch  = []byte("epoch")  // starts with undelivered answers
	keyBehind = []byte("behind") // seconds by which Answer.Finished is behind the system's clock
)

const format = 1

// Key stands for an id in memory.
type Key [16]byte

// KeyOf returns the key of an id.
func KeyOf(id string) (k Key) {
	sum := sha256.Sum256([]byte(id))
	copy(k[:], sum[:])
	return k
}

// Request is what is known of a request without an answer, but for its content.
type Request struct {
	Number          uint64
	Crashes         uint8     // times that the process died with it in work
	Accepted        time.Time // by the wall clock
	Document, Image uint32    // bytes
	Digest          [32]byte  // of both
	ID, Way, Client string
}

// Answer is what is known of an answer, but for its document.
type Answer struct {
	Number   uint64
	Finished int64    // the queue's own clock, nanoseconds
	Request  uint64   // its number
	Document uint32   // bytes
	Digest   [32]byte // of the request
	ID       string
}

// PutRequest stores a request, whose number is the highest so far.
func PutRequest(tx *bolt.Tx, r *Request, document, image []byte) error {
	b := tx.Bucket(bucketRequests)
	if err := b.SetSequence(r.Number); err != nil {
		return err
	}
	return boltfile.PutRecord(b, r.Number, r.encode(), document, image)
}

// Content returns copies of a request's document and image.
func Content(tx *bolt.Tx, number uint64) (document, image []byte, err error) {
	b := tx.Bucket(bucketRequests)
	payload, err := boltfile.Head(b, number)
	if err != nil {
		return nil, nil, err
	}
	var r Request
	rest, err := r.decode(payload)
	if err != nil {
		return nil, nil, err
	}
	contents, err := boltfile.Contents(b, number, rest, r.Document, r.Image)
	if err != nil {
		return nil, nil, err
	}
	return contents[0], contents[1], nil
}

// PutCrashes stores how often the process died with a request in work, if that is
// there.
func PutCrashes(tx *bolt.Tx, number uint64, crashes uint8) error {
	b := tx.Bucket(bucketRequests)
	head, err := boltfile.Head(b, number)
	if err != nil || head == nil {
		return err
	}
	head = append([]byte(nil), head...)
	head[0] = crashes
	key := boltfile.RecordKey(number, 0)
	return b.Put(key, boltfile.Seal(key, head))
}

// PutEpoch stores the number of starts with deliveries.
func PutEpoch(tx *bolt.Tx, epoch uint32) error {
	return tx.Bucket(bucketState).Put(keyEpoch, boltfile.Seal(keyEpoch, binary.LittleEndian.AppendUint32(nil, epoch)))
}

// PutBehind stores by how many seconds the clock of the answers is behind the system's.
func PutBehind(tx *bolt.Tx, seconds uint32) error {
	return tx.Bucket(bucketState).Put(keyBehind, boltfile.Seal(keyBehind, binary.LittleEndian.AppendUint32(nil, seconds)))
}

// PutAnswer replaces a request by its answer, whose number is the highest so far, and
// notes where that must be delivered.
func PutAnswer(tx *bolt.Tx, r *Request, a *Answer, document []byte, epoch uint32, destinations []string) error {
	if err := boltfile.DeleteRecord(tx.Bucket(bucketRequests), r.Number, r.Document, r.Image); err != nil {
		return err
	}
	answers, deliveries := tx.Bucket(bucketAnswers), tx.Bucket(bucketDeliveries)
	if err := answers.SetSequence(a.Number); err != nil {
		return err
	}
	if err := boltfile.PutRecord(answers, a.Number, a.encode(), document); err != nil {
		return err
	}
	for _, d := range destinations {
		key := deliveryKey(d, a.Number)
		if err := deliveries.Put(key, boltfile.Seal(key, delivery{epoch: epoch}.encode())); err != nil {
			return err
		}
	}
	return nil
}

// GetAnswer returns an answer with a copy of its document, nil if there is none.
func GetAnswer(tx *bolt.Tx, number uint64) (a Answer, document []byte, err error) {
	b := tx.Bucket(bucketAnswers)
	payload, err := boltfile.Head(b, number)
	if payload == nil {
		return Answer{}, nil, err
	}
	a.Number = number
	rest, err := a.decode(payload)
	if err != nil {
		return Answer{}, nil, err
	}
	contents, err := boltfile.Contents(b, number, rest, a.Document)
	if err != nil {
		return Answer{}, nil, err
	}
	return a, append([]byte{}, contents[0]...), nil
}

// Answers are those from a number on, in order.
func Answers(tx *bolt.Tx, from uint64) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		c := tx.Bucket(bucketAnswers).Cursor()
		for key, sealed := c.Seek(boltfile.RecordKey(from, 0)); key != nil; key, sealed = c.Seek(boltfile.RecordKey(from, 0)) {
			a := Answer{Number: binary.BigEndian.Uint64(key)}
			payload, err := boltfile.Unseal(key, sealed)
			if err == nil {
				_, err = a.decode(payload)
			}
			if !yield(a, err) || err != nil {
				return
			}
			from = a.Number + 1
		}
	}
}

// DeleteAnswers removes answers, whose deliveries are removed apart.
func DeleteAnswers(tx *bolt.Tx, list []Answer) error {
	for _, a := range list {
		if err := boltfile.DeleteRecord(tx.Bucket(bucketAnswers), a.Number, a.Document); err != nil {
			return err
		}
	}
	return nil
}

// DeleteAnswer removes an answer, and its deliveries to some of destinations, which it
// returns. Its document had size bytes; -1 if there is no such answer.
func DeleteAnswer(tx *bolt.Tx, number uint64, destinations []string) (removed []string, size int64, err error) {
	payload, err := boltfile.Head(tx.Bucket(bucketAnswers), number)
	if payload == nil {
		return nil, -1, err
	}
	a := Answer{Number: number}
	if _, err := a.decode(payload); err != nil {
		return nil, -1, err
	}
	for _, d := range destinations {
		gone, err := DeleteDeliveries(tx, d, []uint64{number})
		if err != nil {
			return nil, -1, err
		}
		if len(gone) > 0 {
			removed = append(removed, d)
		}
	}
	return removed, int64(a.Document), DeleteAnswers(tx, []Answer{a})
}

// Delivery is an answer that has not been delivered to a destination.
type Delivery struct {
	Answer
	Content []byte // the document
	Attempt int    // that of a first time in this process; 1 is certainly the first time
}

// Deliveries are those to a destination, of answers up to a number, in order.
func Deliveries(tx *bolt.Tx, destination string, through uint64, epoch uint32) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		prefix := append([]byte(destination), 0)
		c := tx.Bucket(bucketDeliveries).Cursor()
		for key, sealed := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, sealed = c.Next() {
			number := binary.BigEndian.Uint64(key[len(prefix):])
			if number > through {
				return
			}
			d, err := getDelivery(tx, number, key, sealed, epoch)
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

func getDelivery(tx *bolt.Tx, number uint64, key, sealed []byte, epoch uint32) (d Delivery, err error) {
	value, err := boltfile.Unseal(key, sealed)
	if err != nil {
		return d, err
	}
	var stored delivery
	if err := stored.decode(value); err != nil {
		return d, err
	}
	d.Attempt = int(stored.tries+epoch-stored.epoch) + 1
	d.Answer, d.Content, err = GetAnswer(tx, number)
	if err == nil && d.Content == nil {
		err = boltfile.ErrRecord
	}
	return d, err
}

// Pending tells whether an answer must still be delivered to one of destinations.
func Pending(tx *bolt.Tx, number uint64, destinations []string) bool {
	b := tx.Bucket(bucketDeliveries)
	return slices.ContainsFunc(destinations, func(d string) bool { return b.Get(deliveryKey(d, number)) != nil })
}

// PutTries stores how often answers, by their numbers, were tried to be delivered to a
// destination, of those that still must be.
func PutTries(tx *bolt.Tx, destination string, tries map[uint64]uint32, epoch uint32) error {
	b := tx.Bucket(bucketDeliveries)
	for number, n := range tries {
		key := deliveryKey(destination, number)
		if b.Get(key) == nil {
			continue
		}
		if err := b.Put(key, boltfile.Seal(key, delivery{epoch: epoch, tries: n}.encode())); err != nil {
			return err
		}
	}
	return nil
}

// DeleteDeliveries removes deliveries to a destination, and returns the numbers of those
// that were there.
func DeleteDeliveries(tx *bolt.Tx, destination string, numbers []uint64) (removed []uint64, err error) {
	b := tx.Bucket(bucketDeliveries)
	for _, number := range numbers {
		key := deliveryKey(destination, number)
		if b.Get(key) == nil {
			continue
		}
		removed = append(removed, number)
		if err := b.Delete(key); err != nil {
			return nil, err
		}
	}
	return removed, nil
}
