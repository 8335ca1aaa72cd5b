package dicomnode

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// CheckExposure refuses to exchange images with other machines in the clear unless
// that was asked for by a word. address is HOST:PORT, of a port that is opened or of a
// peer.
func CheckExposure(address string, encrypted, plaintext bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address: HOST:PORT is needed", address)
	}
	if encrypted || plaintext || host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is beyond this machine, where images of patients would go in the clear: use TLS, or allow plaintext if the network is trusted", address)
}

// Certificates are PEM files for TLS.
type Certificates struct {
	// Certificate, with those between it and the root, and Key are ours.
	Certificate, Key string
	// Authority is who signs the peers' certificates. Default: for peers that we
	// call the system's; those that call us need none.
	Authority string
}

// Server is the settings of a port, nil where there is no certificate.
func (c Certificates) Server() (*tls.Config, error) {
	if c.Certificate == "" && c.Key == "" {
		return nil, nil
	}
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	if settings.RootCAs != nil {
		settings.ClientCAs, settings.ClientAuth = settings.RootCAs, tls.RequireAndVerifyClientCert
	}
	return settings, nil
}

// Client is the settings for calling peers.
func (c Certificates) Client() (*tls.Config, error) { return c.settings() }

func (c Certificates) settings() (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Certificate != "" || c.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate and its key: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	if c.Authority != "" {
		raw, err := os.ReadFile(c.Authority)
		if err != nil {
			return nil, fmt.Errorf("read the authority's certificate: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("read the authority's certificate: %s holds none in PEM", c.Authority)
		}
	}
	return settings, nil
}
