package dicomnode

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

// Settings are a node's settings as people write them, by flags or in a
// configuration.
type Settings struct {
	// Folder keeps what was received and not worked on. Required.
	Folder string
	// Listen is the HOST:PORT on which peers call. Required.
	Listen string
	// Title is our application entity title. Required.
	Title string
	// Callers are the titles of the peers that may call. Default: any.
	Callers []string
	// From are addresses and networks, such as 10.1.2.0/24, from which peers may
	// call. Default: any.
	From []string
	// Associations is how many there are at the same time. Default 8.
	Associations int
	// Quiet is how long nothing must come until a series is complete. Default 30 s.
	Quiet time.Duration
	// Keep is how long objects are kept after that. Default 24 h.
	Keep time.Duration
	// MaxBytes of received objects. Default 8 GiB.
	MaxBytes int64
	// Return is TITLE@HOST:PORT of the node to which results go by C-STORE, and STOW
	// the URL of a service, without /studies, to which they go by STOW-RS. Default:
	// nowhere; at most one of both.
	Return, STOW string
	// ReturnTLS has that node called by TLS.
	ReturnTLS bool
	// Authorization is a file with the value of the Authorization header for the
	// service. Default: none.
	Authorization string
	// Certificates are those of TLS; peers call by it where there is one of ours.
	Certificates Certificates
	// Plaintext is the word by which images are exchanged with other machines in the
	// clear.
	Plaintext bool
}

// Options checks the settings and makes a node's options of them, without those of
// the work. encryption is that of the port, nil for none.
func (s *Settings) Options() (opts Options, encryption *tls.Config, err error) {
	for _, title := range append([]string{s.Title}, s.Callers...) {
		if err := dicomnet.CheckTitle(title); err != nil {
			return opts, nil, err
		}
	}
	server := dicomnet.Server{Title: s.Title, CallingTitles: s.Callers, MaxAssociations: s.Associations}
	for _, from := range s.From {
		network, err := parseNetwork(from)
		if err != nil {
			return opts, nil, err
		}
		server.From = append(server.From, network)
	}
	if encryption, err = s.Certificates.Server(); err != nil {
		return opts, nil, err
	}
	if s.Certificates.Authority != "" && encryption == nil && !s.ReturnTLS && s.STOW == "" {
		return opts, nil, errors.New("peers' certificates are asked for by TLS only: a certificate of our own and its key are needed too")
	}
	if err := CheckExposure(s.Listen, encryption != nil, s.Plaintext); err != nil {
		return opts, nil, fmt.Errorf("listen: %w", err)
	}
	results, err := s.results()
	if err != nil {
		return opts, nil, err
	}
	return Options{
		Folder: s.Folder, Server: server, Return: results,
		Inbox: dicominbox.Options{Quiet: s.Quiet, Keep: s.Keep, MaxBytes: s.MaxBytes},
	}, encryption, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if network, err := netip.ParsePrefix(s); err == nil {
		return network, nil
	}
	address, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.1.2.0/24", s)
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}

// results says where results go; nil for nowhere.
func (s *Settings) results() (Return, error) {
	switch {
	case s.Return != "" && s.STOW != "":
		return nil, errors.New("results go back by C-STORE or by STOW-RS, not by both")
	case s.ReturnTLS && s.Return == "":
		return nil, errors.New("TLS for returning results by C-STORE is set without the node to which they go")
	case s.Authorization != "" && s.STOW == "":
		return nil, errors.New("an authorization is set without the STOW-RS service that it is for")
	case s.Return != "":
		return s.node()
	case s.STOW != "":
		return s.service()
	}
	return nil, nil
}

// node is the one that takes results by C-STORE.
func (s *Settings) node() (Return, error) {
	title, address, ok := strings.Cut(s.Return, "@")
	if !ok {
		return nil, fmt.Errorf("return: %q is no node: TITLE@HOST:PORT is needed", s.Return)
	}
	if err := dicomnet.CheckTitle(title); err != nil {
		return nil, fmt.Errorf("return: %w", err)
	}
	if err := CheckExposure(address, s.ReturnTLS, s.Plaintext); err != nil {
		return nil, fmt.Errorf("return: %w", err)
	}
	node := dicomnet.Requestor{CallingTitle: s.Title, CalledTitle: title, Address: address}
	if s.ReturnTLS {
		settings, err := s.Certificates.Client()
		if err != nil {
			return nil, err
		}
		node.TLS = settings
	}
	return ByStore{Node: node}, nil
}

// service is the one that takes results by STOW-RS.
func (s *Settings) service() (Return, error) {
	address, err := url.Parse(s.STOW)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" || address.User != nil {
		return nil, errors.New("stow: a URL such as https://pacs.example/dicom-web is needed, without a password, for which there is the authorization")
	}
	port := address.Port()
	if port == "" {
		port = address.Scheme
	}
	if err := CheckExposure(net.JoinHostPort(address.Hostname(), port), address.Scheme == "https", s.Plaintext); err != nil {
		return nil, fmt.Errorf("stow: %w", err)
	}
	settings, err := s.Certificates.Client()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = settings
	service := BySTOW{URL: s.STOW, Client: &http.Client{Transport: transport, Timeout: 5 * time.Minute}}
	if s.Authorization != "" {
		raw, err := boundedfile.Read(s.Authorization, 16<<10)
		if err != nil {
			return nil, fmt.Errorf("read the authorization: %w", err)
		}
		if service.Authorization = strings.TrimSpace(string(raw)); strings.ContainsAny(service.Authorization, "\r\n") {
			return nil, errors.New("read the authorization: the file has more than one line")
		}
	}
	return service, nil
}
