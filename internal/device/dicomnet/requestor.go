package dicomnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
)

// Requestor asks for associations.
type Requestor struct {
	// CallingTitle is ours, CalledTitle the peer's. Required.
	CallingTitle, CalledTitle string
	// Address is HOST:PORT. Required.
	Address string
	// TLS encrypts the connection. Default: it is plain.
	TLS *tls.Config
	// Timeout is how long the peer may take for an answer. Default 1 min.
	Timeout time.Duration
}

// Proposal is a SOP class with transfer syntaxes, of which the peer chooses one.
type Proposal struct {
	SOPClass         string
	TransferSyntaxes []string
}

// RejectedError tells that the peer refused an association.
type RejectedError struct {
	// Result is 1 where it will not help to try again.
	Result, Source, Reason byte
}

func (e *RejectedError) Error() string {
	why := fmt.Sprintf("result %d, source %d, reason %d", e.Result, e.Source, e.Reason)
	switch [2]byte{e.Source, e.Reason} {
	case [2]byte{1, 3}:
		why = "it does not know our AE title: add it there"
	case [2]byte{1, 7}:
		why = "it has another AE title: correct it here"
	case [2]byte{3, 1}, [2]byte{3, 2}:
		why = "it has too much to do"
	}
	return "the peer rejected the association: " + why
}

// Association is one that was asked for. One goroutine at a time uses it.
type Association struct {
	c        *conn
	contexts []pdu.Presentation // that were accepted
	messages uint16
}

// Dial asks for an association. Whoever gets it calls Release or Abort.
func (r Requestor) Dial(ctx context.Context, proposals ...Proposal) (*Association, error) {
	a, err := r.dial(ctx, proposals)
	if err != nil {
		return nil, fmt.Errorf("ask for a DICOM association: %w", err)
	}
	return a, nil
}

func (r Requestor) dial(ctx context.Context, proposals []Proposal) (*Association, error) {
	if r.Timeout <= 0 {
		r.Timeout = time.Minute
	}
	if len(proposals) > pdu.MaxContexts {
		return nil, fmt.Errorf("%d presentation contexts, and %d are possible", len(proposals), pdu.MaxContexts)
	}
	dialer := net.Dialer{Timeout: r.Timeout}
	nc, err := dialer.DialContext(ctx, "tcp", r.Address)
	if err != nil {
		return nil, err
	}
	if r.TLS != nil {
		settings := r.TLS.Clone()
		if settings.ServerName == "" {
			settings.ServerName, _, _ = net.SplitHostPort(r.Address)
		}
		nc = tls.Client(nc, settings)
	}
	c := newConn(nc, r.Timeout, DefaultMaxPDU)
	defer c.watch(ctx)()
	a := &Association{c: c}
	request := &pdu.Association{Called: r.CalledTitle, Calling: r.CallingTitle, MaxData: DefaultMaxPDU}
	for i, p := range proposals {
		request.Contexts = append(request.Contexts, pdu.Presentation{ID: byte(2*i + 1), Abstract: p.SOPClass, Transfer: p.TransferSyntaxes})
	}
	if err := a.open(request); err != nil {
		nc.Close() // an association that is not there needs no end
		return nil, a.failed(ctx, err)
	}
	return a, nil
}

func (a *Association) open(request *pdu.Association) error {
	if err := a.c.write(request.Encode(pdu.AssociateRQ)); err != nil {
		return err
	}
	kind, body, err := a.c.read()
	if err != nil {
		return err
	}
	switch kind {
	case pdu.AssociateRJ:
		return &RejectedError{body[1], body[2], body[3]}
	case pdu.Abort:
		return ErrAborted
	case pdu.AssociateAC:
	default:
		return pdu.Unexpected(kind, "instead of an answer")
	}
	answer, err := pdu.ParseAssociation(kind, body)
	if err != nil {
		return err
	}
	if err := a.c.setPeerLimit(answer.MaxData); err != nil {
		return err
	}
	for _, p := range answer.Contexts {
		if p.Result != pdu.Accepted {
			continue
		}
		i := int(p.ID) / 2
		if i >= len(request.Contexts) || len(p.Transfer) != 1 {
			return pdu.Invalid("presentation context %d was not proposed, or has no transfer syntax", p.ID)
		}
		a.contexts = append(a.contexts, pdu.Presentation{ID: p.ID, Abstract: request.Contexts[i].Abstract, Transfer: p.Transfer})
	}
	return nil
}

// Accepts tells whether objects of a SOP class can be sent in a transfer syntax.
func (a *Association) Accepts(sopClass, transferSyntax string) bool {
	return a.context(sopClass, transferSyntax) != 0
}

// context is the number of an accepted context; 0 where there is none. An empty
// transfer syntax stands for any.
func (a *Association) context(sopClass, transferSyntax string) byte {
	for _, p := range a.contexts {
		if p.Abstract == sopClass && (transferSyntax == "" || p.Transfer[0] == transferSyntax) {
			return p.ID
		}
	}
	return 0
}

// Echo asks whether the peer is there. The association was dialled for
// VerificationClass.
func (a *Association) Echo(ctx context.Context) error {
	id := a.context(VerificationClass, "")
	if id == 0 {
		return errors.New("send C-ECHO: the peer does not take it")
	}
	status, err := a.exchange(ctx, id, pdu.Command{Field: pdu.Echo, SOPClass: VerificationClass}, nil)
	if err == nil && !status.OK() {
		err = fmt.Errorf("the peer answered with %v", status)
	}
	if err != nil {
		return fmt.Errorf("send C-ECHO: %w", err)
	}
	return nil
}

// Store sends an object: its data set, without meta header. The status is the
// peer's word on it; after an error the association is of no use.
func (a *Association) Store(ctx context.Context, sopClass, sopInstance, transferSyntax string, data io.Reader) (Status, error) {
	id := a.context(sopClass, transferSyntax)
	if id == 0 {
		return SOPClassNotSupported, nil
	}
	status, err := a.exchange(ctx, id, pdu.Command{Field: pdu.Store, HasData: true, SOPClass: sopClass, SOPInstance: sopInstance}, data)
	if err != nil {
		return 0, fmt.Errorf("send an object by C-STORE: %w", err)
	}
	return status, nil
}

// exchange sends a request and waits for the response.
func (a *Association) exchange(ctx context.Context, id byte, request pdu.Command, data io.Reader) (Status, error) {
	defer a.c.watch(ctx)()
	a.messages++
	request.ID = a.messages
	err := a.c.sendCommand(id, request)
	if err == nil && data != nil {
		err = a.c.sendData(id, data)
	}
	if err != nil {
		return 0, a.failed(ctx, err)
	}
	reply, from, err := a.c.command()
	switch {
	case err != nil:
	case from != id || reply.Field != request.Field|pdu.Response || reply.ID != request.ID || reply.HasData:
		err = pdu.Invalid("a response to something else")
	}
	if err != nil {
		return 0, a.failed(ctx, err)
	}
	return Status(reply.Status), nil
}

// failed is the error of an exchange; the end of ctx explains others.
func (a *Association) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Release ends the association in good order.
func (a *Association) Release(ctx context.Context) error {
	defer a.c.watch(ctx)()
	defer a.c.net.Close()
	err := a.c.write(pdu.Append(nil, pdu.ReleaseRQ, make([]byte, 4)))
	for err == nil {
		var kind pdu.Type
		switch kind, _, err = a.c.read(); {
		case err != nil:
		case kind == pdu.ReleaseRP:
			return nil
		case kind == pdu.ReleaseRQ: // both at once: each answers
			err = a.c.write(pdu.Append(nil, pdu.ReleaseRP, make([]byte, 4)))
		case kind != pdu.Data:
			err = pdu.Unexpected(kind, "instead of A-RELEASE-RP")
		}
	}
	return fmt.Errorf("release the DICOM association: %w", err)
}

// Abort ends the association at once.
func (a *Association) Abort() { a.c.abort(pdu.ByUser, pdu.Unspecified) }
