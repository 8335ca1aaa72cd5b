package segmentation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/model"
)

// network is the file of a network, kept open: a model that is replaced on disk
// goes on with the file that it began with.
type network struct {
	path string
	file *os.File
	sum  string // SHA-256, hexadecimal
}

func openNetwork(path, sum string) (*network, error) {
	file, err := boundedfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrNetwork, err)
	}
	return &network{path: path, file: file, sum: sum}, nil
}

// read returns the network, compared with its checksum.
func (n *network) read() ([]byte, error) {
	content, err := boundedfile.ReadFrom(n.file, maxNetworkBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrNetwork, err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != n.sum {
		return nil, fmt.Errorf("%w: %s has sha256 %x, and the manifest says %s", model.ErrChecksum, n.path, sum, n.sum)
	}
	return content, nil
}

func (n *network) close() error { return n.file.Close() }

// passingIdle is how long a passing session waits for its next user.
const passingIdle = 5 * time.Second

// passingSession is a session that is made when it is needed, and taken down when
// it was not for passingIdle. ONNX Runtime itself never gives back the memory
// that a session has had.
type passingSession struct {
	open func() (*ort.DynamicAdvancedSession, error)

	mu      sync.Mutex
	session *ort.DynamicAdvancedSession // nil while there is none; guarded by mu
	users   int                         // guarded by mu
	idle    *time.Timer                 // guarded by mu
}

// acquire returns the session; release must follow.
func (p *passingSession) acquire() (*ort.DynamicAdvancedSession, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil {
		session, err := p.open()
		if err != nil {
			return nil, err
		}
		p.session = session
	}
	if p.idle != nil {
		p.idle.Stop()
	}
	p.users++
	return p.session, nil
}

func (p *passingSession) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	p.expire()
}

// tidy has memory given back in passingIdle, even where there is no session: what
// a caller does with a large slice after its run takes memory too.
func (p *passingSession) tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire()
}

// expire starts the wait for passingIdle anew. p.mu is held.
func (p *passingSession) expire() {
	if p.idle != nil {
		p.idle.Stop()
	}
	if p.users == 0 {
		p.idle = time.AfterFunc(passingIdle, func() { p.drop() })
	}
}

// drop takes the session down unless somebody uses it, and gives memory back.
func (p *passingSession) drop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users > 0 {
		return nil
	}
	var err error
	if p.session != nil {
		err = p.session.Destroy()
		p.session = nil
	}
	returnMemory()
	return err
}

// close takes the session down. Nobody uses it then, and nobody will.
func (p *passingSession) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		p.idle.Stop()
	}
	if p.session == nil {
		return nil
	}
	err := p.session.Destroy()
	p.session = nil
	return err
}

// returnMemory gives the system what Go and the C library keep unused.
func returnMemory() {
	debug.FreeOSMemory()
	trimC()
}
