package outbox

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// The buckets of the file. Messages are records of boltfile, of two contents: topic
// and document.
var (
	bucketState    = []byte("state")    // names below
	bucketMessages = []byte("messages") // record: when it was put, lengths; in order
)

var (
	keyFormat = []byte("format")
	keyLost   = []byte("lost") // messages, not told yet
)

const (
	format = 1
	// emptyBytes is the largest file that is left as it is when it holds nothing more.
	emptyBytes = 256 << 10
)

// disk is the file of an outbox. Who uses it holds Outbox.writing.
type disk struct {
	file   boltfile.File
	open   bool
	faulty bool      // it must be opened again
	retry  time.Time // when to try that again
	has    contents
}

// contents is what a file holds.
type contents struct {
	messages int
	bytes    int
	oldest   int64  // when the first was put; see ownclock
	newest   int64  // when the last was that the file had when it was opened
	last     uint64 // number that was given
	lost     uint64 // messages, not told yet
}

func newDisk(path string, damaged func(string, error)) *disk {
	return &disk{file: boltfile.File{Path: path, Initial: initial, Damaged: damaged}}
}

// initial puts into a new file what every file has.
func initial(tx *bolt.Tx) error {
	state, err := tx.CreateBucketIfNotExists(bucketState)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists(bucketMessages); err != nil {
		return err
	}
	return state.Put(keyFormat, boltfile.Seal(keyFormat, binary.LittleEndian.AppendUint64(nil, format)))
}

// exists reports whether there is a file; one that holds nothing need not be.
func (d *disk) exists() bool {
	_, err := os.Lstat(d.file.Path)
	return !errors.Is(err, fs.ErrNotExist)
}

// head is what is known of a message without its contents.
type head struct {
	put             int64
	topic, document uint32
}

const headBytes = 16

func (h head) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(h.put))
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, h.topic), h.document)
}

func (h *head) decode(b []byte) (rest []byte, err error) {
	if len(b) < headBytes {
		return nil, boltfile.ErrRecord
	}
	h.put = int64(binary.LittleEndian.Uint64(b))
	h.topic, h.document = binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	return b[headBytes:], nil
}

func (h *head) bytes() int { return int(h.topic) + int(h.document) }

// load checks a file and sums up what it holds, and how many of the messages have a
// number up to done.
func load(file io.ReaderAt, size int64, done uint64) (found contents, finished int, err error) {
	version := uint64(0)
	info, err := boltfile.Check(file, size, func(bucket, key, value []byte) error {
		switch {
		case string(bucket) == string(bucketState):
			if len(value) != 8 {
				return boltfile.Damaged("a setting has %d bytes", len(value))
			}
			switch n := binary.LittleEndian.Uint64(value); string(key) {
			case string(keyFormat):
				version = n
			case string(keyLost):
				found.lost = n
			}
			return nil
		case len(key) != 12:
			return boltfile.Damaged("a key has %d bytes", len(key))
		case binary.BigEndian.Uint32(key[8:]) != 0:
			return nil
		}
		var h head
		if _, err := h.decode(value); err != nil {
			return boltfile.Damaged("a message cannot be read")
		}
		if found.messages == 0 {
			found.oldest = h.put
		}
		found.newest = max(found.newest, h.put)
		found.messages++
		found.bytes += h.bytes()
		if found.last = binary.BigEndian.Uint64(key); found.last <= done {
			finished++
		}
		return nil
	})
	if err != nil {
		return contents{}, 0, err
	}
	for _, name := range [][]byte{bucketState, bucketMessages} {
		if _, ok := info.Sequences[string(name)]; !ok {
			return contents{}, 0, boltfile.Damaged("the bucket %s is missing", name)
		}
	}
	if version != format {
		return contents{}, 0, boltfile.Damaged("its format is %d, and this program knows %d", version, format)
	}
	found.last = max(found.last, info.Sequences[string(bucketMessages)])
	return found, finished, nil
}

// openFile opens the file, and makes it where there is none. It returns how many
// messages it holds that have a number up to done.
func (d *disk) openFile(done uint64) (finished int, err error) {
	var found contents
	fresh, err := d.file.Open(d.faulty, func(file io.ReaderAt, size int64) (err error) {
		found, finished, err = load(file, size, done)
		return err
	})
	if err != nil {
		d.open, d.faulty, d.retry = false, true, time.Now().Add(time.Second)
		return 0, err
	}
	if fresh {
		found, finished = contents{}, 0
	}
	found.last = max(d.has.last, found.last)
	d.has, d.open, d.faulty = found, true, false
	return finished, nil
}

// write removes the messages up to the number done, adds entries, and lets the oldest
// go that are beyond the bounds, all in one transaction. lost is kept in the file, with
// those that go now, which are returned with the number of the last of them.
func (d *disk) write(done uint64, entries []*entry, maxMessages, maxBytes int, lost uint64) (dropped int, droppedTo uint64, err error) {
	has := d.has
	fate, err := d.file.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketMessages)
		for _, e := range entries {
			has.last++
			if err := b.SetSequence(has.last); err != nil {
				return err
			}
			h := head{put: e.put, topic: uint32(len(e.Topic)), document: uint32(len(e.Document))}
			if err := boltfile.PutRecord(b, has.last, h.encode(), []byte(e.Topic), e.Document); err != nil {
				return err
			}
			has.messages++
			has.bytes += h.bytes()
		}
		has.oldest = 0
		for {
			key, sealed := b.Cursor().First()
			if key == nil {
				break
			}
			value, err := boltfile.Unseal(key, sealed)
			if err != nil {
				return err
			}
			var h head
			if _, err := h.decode(value); err != nil {
				return err
			}
			number := binary.BigEndian.Uint64(key)
			if number > done {
				if has.messages <= maxMessages && has.bytes <= maxBytes {
					has.oldest = h.put
					break
				}
				dropped++
				droppedTo = number
			}
			if err := boltfile.DeleteRecord(b, number, h.topic, h.document); err != nil {
				return err
			}
			has.messages--
			has.bytes -= h.bytes()
		}
		if has.lost = lost + uint64(dropped); has.lost == d.has.lost {
			return nil
		}
		return putLost(tx, has.lost)
	})
	if err != nil {
		if fate == boltfile.Unknown {
			d.open, d.faulty = false, true
		}
		return 0, 0, err
	}
	if d.has = has; has.messages == 0 {
		if err := d.file.Renew(emptyBytes, func(tx *bolt.Tx) error { return putLost(tx, has.lost) }); err != nil {
			d.open, d.faulty = false, true
		}
	}
	return dropped, droppedTo, nil
}

func putLost(tx *bolt.Tx, lost uint64) error {
	return tx.Bucket(bucketState).Put(keyLost, boltfile.Seal(keyLost, binary.LittleEndian.AppendUint64(nil, lost)))
}

// read returns the oldest messages after a number, at most limit and not many bytes.
func (d *disk) read(after uint64, limit, maxBytes int) (list []*entry, err error) {
	err = d.file.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketMessages)
		c := b.Cursor()
		total := 0
		for key, _ := c.Seek(boltfile.RecordKey(after+1, 0)); key != nil && len(list) < limit && total < maxBytes; key, _ = c.Seek(boltfile.RecordKey(after+1, 0)) {
			after = binary.BigEndian.Uint64(key)
			value, err := boltfile.Head(b, after)
			if err != nil {
				return err
			}
			var h head
			rest, err := h.decode(value)
			if err != nil {
				return err
			}
			parts, err := boltfile.Contents(b, after, rest, h.topic, h.document)
			if err != nil {
				return err
			}
			total += h.bytes()
			list = append(list, &entry{Message: Message{Topic: string(parts[0]), Document: parts[1]}, put: h.put, number: after})
		}
		return nil
	})
	if err != nil {
		d.open, d.faulty = false, true
		return nil, err
	}
	return list, nil
}
