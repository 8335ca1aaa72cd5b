package dicomnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
)

// Errors that end an association.
var (
	// ErrAborted: the peer ended the association by A-ABORT.
	ErrAborted = errors.New("the peer aborted the association")
	// errReleased: the peer asks to end it in good order.
	errReleased = errors.New("the peer releases the association")
)

// conn is a connection with an association on it, of either role. One goroutine
// uses it.
type conn struct {
	net  net.Conn
	in   *bufio.Reader
	body bytes.Buffer // of the PDU that was read last
	rest []byte       // of its fragments
	out  []byte       // a PDU in the making
	// timeout is how long the peer may take for a PDU, to send it or to take it.
	timeout time.Duration
	maxData int // bytes that are taken in a PDU
	maxSend int // bytes of a fragment to the peer

	mu      sync.Mutex
	stopped bool // guarded by mu: no deadline is set any more
}

func newConn(c net.Conn, timeout time.Duration, maxData int) *conn {
	return &conn{net: c, in: bufio.NewReaderSize(c, 32<<10), timeout: timeout, maxData: maxData}
}

// watch ends reading and writing when ctx ends, until the function returned is
// called.
func (c *conn) watch(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = true
		_ = c.net.SetDeadline(time.Unix(1, 0))
	})
}

// limit gives the peer the time of one PDU.
func (c *conn) limit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return context.Canceled
	}
	return c.net.SetDeadline(time.Now().Add(c.timeout))
}

func (c *conn) read() (kind pdu.Type, body []byte, err error) {
	if err := c.limit(); err != nil {
		return 0, nil, err
	}
	return pdu.Read(c.in, &c.body, c.maxData)
}

func (c *conn) write(b []byte) error {
	if err := c.limit(); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}

// setPeerLimit notes how much data the peer takes in a PDU; 0: any.
func (c *conn) setPeerLimit(maxPDU uint32) error {
	if maxPDU != 0 && maxPDU <= pdu.FragmentHeader {
		return pdu.Invalid("a maximum length of %d", maxPDU)
	}
	c.maxSend = DefaultMaxPDU - pdu.FragmentHeader
	if maxPDU != 0 && maxPDU < DefaultMaxPDU {
		c.maxSend = int(maxPDU) - pdu.FragmentHeader
	}
	if c.maxSend > 1 {
		c.maxSend &^= 1 // fragments have even lengths
	}
	return nil
}

// fragment reads the next fragment of a message. It holds until the next call.
func (c *conn) fragment() (pdu.Fragment, error) {
	if len(c.rest) == 0 {
		kind, body, err := c.read()
		if err != nil {
			return pdu.Fragment{}, err
		}
		switch kind {
		case pdu.Data:
			c.rest = body
		case pdu.ReleaseRQ:
			return pdu.Fragment{}, errReleased
		case pdu.Abort:
			return pdu.Fragment{}, ErrAborted
		default:
			return pdu.Fragment{}, pdu.Unexpected(kind, "among data")
		}
	}
	f, rest, err := pdu.CutFragment(c.rest)
	c.rest = rest
	return f, err
}

// command reads a command set, and the context in which it came.
func (c *conn) command() (pdu.Command, byte, error) {
	var set []byte
	context := byte(0)
	for first := true; ; first = false {
		f, err := c.fragment()
		switch {
		case err != nil:
			if errors.Is(err, errReleased) && !first {
				err = pdu.Unexpected(pdu.ReleaseRQ, "within a command")
			}
			return pdu.Command{}, 0, err
		case !f.Command:
			return pdu.Command{}, 0, pdu.Unexpected(pdu.Data, "with data where a command is due")
		case !first && f.Context != context:
			return pdu.Command{}, 0, pdu.Invalid("a command in two presentation contexts")
		case len(set)+len(f.Data) > pdu.MaxCommand:
			return pdu.Command{}, 0, pdu.Invalid("a command of more than %d bytes", pdu.MaxCommand)
		}
		context = f.Context
		set = append(set, f.Data...)
		if f.Last {
			parsed, err := pdu.ParseCommand(set)
			return parsed, context, err
		}
	}
}

// data reads the data set of a message.
type data struct {
	c       *conn
	context byte
	buf     []byte
	last    bool
	err     error // that of the connection, which ends the association
}

func (d *data) Read(b []byte) (int, error) {
	for len(d.buf) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if d.last {
			return 0, io.EOF
		}
		p, err := d.c.fragment()
		switch {
		case err == nil && p.Command:
			err = pdu.Unexpected(pdu.Data, "with a command within a data set")
		case err == nil && p.Context != d.context:
			err = pdu.Invalid("a data set in two presentation contexts")
		case errors.Is(err, errReleased):
			err = pdu.Unexpected(pdu.ReleaseRQ, "within a data set")
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			d.err = err
			return 0, err
		}
		d.buf, d.last = p.Data, p.Last
	}
	n := copy(b, d.buf)
	d.buf = d.buf[n:]
	return n, nil
}

// sendCommand sends a command set.
func (c *conn) sendCommand(context byte, set pdu.Command) error {
	encoded := set.Encode()
	for len(encoded) > 0 {
		n := min(len(encoded), c.maxSend)
		f := pdu.Fragment{Context: context, Command: true, Last: n == len(encoded), Data: encoded[:n]}
		c.out = pdu.AppendData(c.out[:0], f)
		if err := c.write(c.out); err != nil {
			return err
		}
		encoded = encoded[n:]
	}
	return nil
}

// sendData sends a data set.
func (c *conn) sendData(context byte, in io.Reader) error {
	buf, next := make([]byte, c.maxSend), make([]byte, c.maxSend)
	n, err := io.ReadFull(in, buf)
	for {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read the object: %w", err)
		}
		// Whether it is the last one only the next one tells.
		m := 0
		last := err != nil
		if !last {
			m, err = io.ReadFull(in, next)
			last = m == 0 && errors.Is(err, io.EOF)
		}
		c.out = pdu.AppendData(c.out[:0], pdu.Fragment{Context: context, Last: last, Data: buf[:n]})
		if err := c.write(c.out); err != nil {
			return err
		}
		if last {
			return nil
		}
		buf, next, n = next, buf, m
	}
}

// abort tells the peer that the association is over, if it still listens, and
// closes the connection.
func (c *conn) abort(source, reason byte) {
	c.mu.Lock()
	c.stopped = true
	_ = c.net.SetDeadline(time.Now().Add(min(c.timeout, time.Second)))
	c.mu.Unlock()
	if _, err := c.net.Write(pdu.Append(nil, pdu.Abort, []byte{0, 0, source, reason})); err == nil {
		c.awaitClose()
	}
	c.net.Close()
}

// finish waits for the peer to close the connection, as is its part, but not for
// long, and closes it.
func (c *conn) finish() {
	c.mu.Lock()
	c.stopped = true
	_ = c.net.SetDeadline(time.Now().Add(min(c.timeout, 5*time.Second)))
	c.mu.Unlock()
	c.awaitClose()
	c.net.Close()
}

// awaitClose says that nothing more is sent, and reads what the peer had still
// sent: closing a connection with unread data would take back what was written
// last.
func (c *conn) awaitClose() {
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.in, 16<<20))
}
