package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
)

// DefaultMaxPDU is how many bytes a P-DATA to us may have: the most that DCMTK
// sends.
const (
	DefaultMaxPDU = 128 << 10
	minMaxPDU     = 4 << 10
)

// VerificationClass is the SOP class of C-ECHO.
const VerificationClass = "1.2.840.10008.1.1"

// implicitLE is the transfer syntax that everybody knows.
const implicitLE = "1.2.840.10008.1.2"

// StoreRequest is an object that a peer sends.
type StoreRequest struct {
	// SOPClass and SOPInstance as its command says; the data may say otherwise.
	SOPClass, SOPInstance string
	// TransferSyntax of the data.
	TransferSyntax string
	// CallingTitle is that of the peer.
	CallingTitle string
}

// Storer stores objects. data is the object without meta header, and ends with
// io.EOF only where the object is whole. Success promises that the object is kept.
// The methods of a Storer are called concurrently.
type Storer interface {
	Store(ctx context.Context, r StoreRequest, data io.Reader) Status
}

// Server accepts associations for C-ECHO and C-STORE.
type Server struct {
	// Title is the application entity title by which peers must call. Required.
	Title string
	// CallingTitles are those of the peers that may call. Default: any.
	CallingTitles []string
	// From are the networks from which peers may call. Default: any.
	From []netip.Prefix
	// SOPClasses that are stored, and TransferSyntaxes in which they are taken.
	SOPClasses, TransferSyntaxes []string
	// Storer stores the objects. Required where there are SOPClasses.
	Storer Storer
	// MaxAssociations at the same time. Default 8.
	MaxAssociations int
	// MaxPDU is the data that a PDU may hold, in bytes, at least 4,096. Default
	// DefaultMaxPDU.
	MaxPDU int
	// Timeout is how long a peer may take for a PDU, and be silent. Default 1 min.
	Timeout time.Duration
	// Logger gets associations with titles and addresses. Default: none.
	Logger *zap.Logger
}

// Reasons of A-ASSOCIATE-RJ: result, source, reason (PS3.8, 9.3.4).
var (
	rejectVersion     = [3]byte{1, 2, 2}
	rejectApplication = [3]byte{1, 1, 2}
	rejectCalling     = [3]byte{1, 1, 3}
	rejectCalled      = [3]byte{1, 1, 7}
	rejectBusy        = [3]byte{2, 3, 2}
)

// Serve accepts associations on l until ctx ends or l fails. It returns when all
// of them are over, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	filled := *s
	if filled.MaxAssociations <= 0 {
		filled.MaxAssociations = 8
	}
	if filled.MaxPDU <= 0 {
		filled.MaxPDU = DefaultMaxPDU
	}
	filled.MaxPDU = max(filled.MaxPDU, minMaxPDU)
	if filled.Timeout <= 0 {
		filled.Timeout = time.Minute
	}
	if filled.Logger == nil {
		filled.Logger = zap.NewNop()
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var associations sync.WaitGroup
	defer associations.Wait()
	// One half of the places is for associations, the other for those who must be
	// told that there is no place.
	places := make(chan struct{}, 2*filled.MaxAssociations)
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept DICOM associations: %w", err)
			}
			// Such as too many open files: it passes.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			filled.Logger.Warn("accepting a DICOM connection failed", zap.Error(err))
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		wait = 0
		if !filled.mayCall(c.RemoteAddr()) {
			filled.Logger.Warn("DICOM connection refused: its address is not allowed", zap.Stringer("address", c.RemoteAddr()))
			c.Close()
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			c.Close()
			continue
		}
		busy := len(places) > filled.MaxAssociations
		associations.Go(func() {
			defer func() { <-places }()
			filled.serve(ctx, c, busy)
		})
	}
}

// mayCall tells whether a peer may call from an address.
func (s *Server) mayCall(a net.Addr) bool {
	if len(s.From) == 0 {
		return true
	}
	address, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	from := address.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.From, func(p netip.Prefix) bool { return p.Contains(from) })
}

// serve has one connection.
func (s *Server) serve(ctx context.Context, nc net.Conn, busy bool) {
	c := newConn(nc, s.Timeout, s.MaxPDU)
	defer c.watch(ctx)()
	logger := s.Logger.With(zap.Stringer("address", nc.RemoteAddr()))
	request, contexts, err := s.accept(c, busy)
	if request != nil {
		logger = logger.With(zap.String("calling", request.Calling))
	}
	if err == nil && contexts != nil {
		stored := 0
		stored, err = s.messages(ctx, c, request, contexts)
		logger = logger.With(zap.Int("objects", stored))
	}
	var breach pdu.ProtocolError
	switch {
	case ctx.Err() != nil:
		c.abort(pdu.ByUser, pdu.Unspecified)
	case err == nil:
		c.finish()
	case errors.Is(err, errReleased):
		if err := c.write(pdu.Append(nil, pdu.ReleaseRP, make([]byte, 4))); err == nil {
			logger.Info("DICOM association released")
		}
		c.finish()
	case errors.As(err, &breach):
		logger.Warn("DICOM association aborted", zap.Error(err))
		c.abort(pdu.ByProvider, breach.Reason)
	case errors.Is(err, io.EOF) && request == nil: // somebody looked whether the port is open
		nc.Close()
	default:
		logger.Warn("DICOM association lost", zap.Error(err))
		if errors.Is(err, ErrAborted) {
			nc.Close()
		} else {
			c.abort(pdu.ByProvider, pdu.Unspecified)
		}
	}
}

// accept answers the peer's request for an association. contexts are those agreed
// upon, by their number; nil without error where the request was rejected.
func (s *Server) accept(c *conn, busy bool) (request *pdu.Association, contexts map[byte]pdu.Presentation, err error) {
	kind, body, err := c.read()
	if err != nil {
		return nil, nil, err
	}
	if kind != pdu.AssociateRQ {
		return nil, nil, pdu.Unexpected(kind, "before there is an association")
	}
	if request, err = pdu.ParseAssociation(kind, body); err != nil {
		return nil, nil, err
	}
	reject := func(reason [3]byte, why string) (*pdu.Association, map[byte]pdu.Presentation, error) {
		s.Logger.Warn("DICOM association rejected: "+why, zap.Stringer("address", c.net.RemoteAddr()),
			zap.String("calling", request.Calling), zap.String("called", request.Called))
		return request, nil, c.write(pdu.Append(nil, pdu.AssociateRJ, append([]byte{0}, reason[:]...)))
	}
	switch {
	case request.Version&1 == 0:
		return reject(rejectVersion, "it is of another version")
	case request.Application != pdu.ApplicationContext:
		return reject(rejectApplication, "its application context is another")
	case request.Called != s.Title:
		return reject(rejectCalled, "it calls another title")
	case len(s.CallingTitles) > 0 && !slices.Contains(s.CallingTitles, request.Calling):
		return reject(rejectCalling, "its title is not allowed")
	case busy:
		return reject(rejectBusy, "there are too many")
	case len(request.Contexts) > pdu.MaxContexts:
		return nil, nil, pdu.Invalid("%d presentation contexts", len(request.Contexts))
	}
	if err := c.setPeerLimit(request.MaxData); err != nil {
		return request, nil, err
	}
	answer := &pdu.Association{Called: request.Called, Calling: request.Calling, MaxData: uint32(s.MaxPDU)}
	contexts = make(map[byte]pdu.Presentation)
	for _, p := range request.Contexts {
		agreed := s.agree(p)
		if agreed.Result == pdu.Accepted {
			contexts[p.ID] = pdu.Presentation{ID: p.ID, Abstract: p.Abstract, Transfer: agreed.Transfer}
		}
		answer.Contexts = append(answer.Contexts, agreed)
	}
	return request, contexts, c.write(answer.Encode(pdu.AssociateAC))
}

// agree answers a presentation context. Of its transfer syntaxes the first one
// that is taken is agreed upon: the peer knows best what it has.
func (s *Server) agree(p pdu.Presentation) pdu.Presentation {
	known := s.TransferSyntaxes
	switch {
	case p.Abstract == VerificationClass:
		known = []string{implicitLE, "1.2.840.10008.1.2.1"}
	case !slices.Contains(s.SOPClasses, p.Abstract):
		// An answer has a transfer syntax even where it means nothing.
		return pdu.Presentation{ID: p.ID, Result: pdu.AbstractSyntaxNotSupported, Transfer: []string{implicitLE}}
	}
	for _, t := range p.Transfer {
		if slices.Contains(known, t) {
			return pdu.Presentation{ID: p.ID, Result: pdu.Accepted, Transfer: []string{t}}
		}
	}
	return pdu.Presentation{ID: p.ID, Result: pdu.TransferSyntaxesNotSupported, Transfer: []string{implicitLE}}
}

// messages answers the peer's messages until it releases the association. It
// returns the number of objects that were stored.
func (s *Server) messages(ctx context.Context, c *conn, request *pdu.Association, contexts map[byte]pdu.Presentation) (stored int, err error) {
	for {
		set, id, err := c.command()
		if err != nil {
			return stored, err
		}
		agreed, ok := contexts[id]
		if !ok {
			return stored, pdu.Invalid("a message in presentation context %d, which was not agreed upon", id)
		}
		reply := pdu.Command{Field: set.Field | pdu.Response, ID: set.ID, SOPClass: set.SOPClass, SOPInstance: set.SOPInstance}
		status := Success
		in := &data{c: c, context: id, last: !set.HasData}
		switch {
		case set.Field == pdu.Echo && !set.HasData && agreed.Abstract == VerificationClass:
		case set.Field == pdu.Store && set.HasData && agreed.Abstract != VerificationClass:
			status = SOPClassNotSupported
			if set.SOPClass == agreed.Abstract {
				status = s.Storer.Store(ctx, StoreRequest{
					SOPClass: set.SOPClass, SOPInstance: set.SOPInstance, TransferSyntax: agreed.Transfer[0], CallingTitle: request.Calling,
				}, in)
			}
		case set.Field == pdu.Cancel: // of something that is over
			continue
		case set.Field&pdu.Response != 0:
			return stored, pdu.Invalid("a response that nobody waits for")
		default:
			status = UnrecognisedOperation
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // what was not wanted
			return stored, err
		}
		reply.Status = uint16(status)
		if err := c.sendCommand(id, reply); err != nil {
			return stored, err
		}
		if set.Field == pdu.Store && status.OK() {
			stored++
		}
	}
}
