package listener

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"strings"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/device/config"
)

// rules are settings whose files have been read. They do not change.
type rules struct {
	Settings
	wantsToken  bool
	token       [sha256.Size]byte // its sum
	tls         *tls.Config       // nil for none
	files       [][]byte          // what tls was made of
	certificate *x509.Certificate // of this host; nil for none
	loopback    bool              // nobody else can reach us
	connections int
	hostname    string // of the system, lower case
}

// maxFile bounds the files that settings name, in bytes.
const maxFile = 1 << 20

// newRules reads the files. Where those of TLS are as before, so is the
// configuration of TLS: connections under another one are not served.
func newRules(s Settings, before *rules) (*rules, error) {
	r := &rules{Settings: s, connections: s.Connections}
	if r.connections <= 0 {
		r.connections = config.Default().HTTP.Connections
	}
	name, err := os.Hostname()
	if err == nil {
		r.hostname = strings.ToLower(name)
	}
	if err := r.readToken(); err != nil {
		return nil, err
	}
	if s.Certificate == "" && s.Key == "" && s.Authorities == "" {
		return r, nil
	}
	if err := r.readTLS(); err != nil {
		return nil, err
	}
	if before != nil && before.tls != nil && reflect.DeepEqual(r.files, before.files) {
		r.tls = before.tls
	}
	return r, nil
}

func (r *rules) readToken() error {
	token := r.Token
	if r.TokenFile != "" {
		about, err := os.Stat(r.TokenFile)
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		if about.Mode().Perm()&0o007 != 0 {
			return fmt.Errorf("read the token: everybody on this device has access to %s: chmod 600 it, and change the token", r.TokenFile)
		}
		content, err := boundedfile.Read(r.TokenFile, maxFile)
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		token = strings.TrimSpace(string(content))
		if !config.IsToken(token) {
			return fmt.Errorf("read the token from %s: %s", r.TokenFile, config.TokenRule)
		}
	}
	if token != "" {
		if !config.IsToken(token) {
			return errors.New("read the token: " + config.TokenRule)
		}
		r.wantsToken, r.token = true, sha256.Sum256([]byte(token))
	}
	return nil
}

func (r *rules) readTLS() error {
	r.files = make([][]byte, 3)
	for i, path := range []string{r.Certificate, r.Key, r.Authorities} {
		if path == "" {
			continue
		}
		content, err := boundedfile.Read(path, maxFile)
		if err != nil {
			return fmt.Errorf("read a certificate or key: %w", err)
		}
		r.files[i] = content
	}
	pair, err := tls.X509KeyPair(r.files[0], r.files[1])
	if err != nil {
		return fmt.Errorf("use %s and %s as certificate and key: %w", r.Certificate, r.Key, err)
	}
	r.certificate = pair.Leaf
	r.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if r.Authorities != "" {
		r.tls.ClientAuth, r.tls.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !r.tls.ClientCAs.AppendCertsFromPEM(r.files[2]) {
			return fmt.Errorf("read the authorities of clients: %s holds no certificate in PEM", r.Authorities)
		}
	}
	return nil
}

// guards reports why these rules do not guard an address, and takes note of it.
func (r *rules) guards(at net.Addr) error {
	address, ok := at.(*net.TCPAddr)
	r.loopback = ok && address.IP.IsLoopback()
	if r.loopback || r.Trusted || r.Guarded() {
		return nil
	}
	return errors.New("others can reach this address, and nothing would keep them out: set http.tokenFile, or http.clientAuthorities with http.certificate and http.key, or take a loopback address")
}

// admits reports whether a request carries the token, where one is asked for: as a
// bearer's, or as the password that a browser asks its user for.
func (r *rules) admits(req *http.Request) bool {
	if !r.wantsToken {
		return true
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, token, _ = req.BasicAuth()
	}
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], r.token[:]) == 1
}

// knows reports whether a request is for this host. A page's server can have its own
// name resolved to our address, and a browser would then take us for the page's own
// origin; a name of ours, or an address, it cannot.
func (r *rules) knows(host string) bool {
	if r.Trusted || host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" {
		return true
	}
	for _, name := range r.Hosts {
		if strings.EqualFold(host, name) {
			return true
		}
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback() || !r.loopback
	}
	if r.loopback {
		return false
	}
	short, _, _ := strings.Cut(r.hostname, ".")
	return r.hostname != "" && (host == r.hostname || host == short || host == short+".local") ||
		r.certificate != nil && r.certificate.VerifyHostname(host) == nil
}
