package config

import (
	"net"
	"regexp"
)

// tokenForm is that of a bearer token (RFC 6750), long enough not to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{16,256}=*$`)

// IsToken reports whether text may be a token.
func IsToken(text string) bool { return tokenForm.MatchString(text) }

// TokenRule says what IsToken asks for.
const TokenRule = "it must be 16 to 256 letters, digits and signs of ._~+/-, such as 32 random ones"

// check refuses what would let everybody in, or nobody.
func (h HTTP) check(r *reader) {
	if h.Token != "" && !IsToken(h.Token) {
		r.fail("http.token", h.Token, TokenRule)
	}
	if h.Token != "" && h.TokenFile != "" {
		r.fail("http.tokenFile", h.TokenFile, "http.token is set too, and one of them is enough")
	}
	if (h.Certificate == "") != (h.Key == "") {
		r.fail("http.certificate", h.Certificate, "http.certificate and http.key go together")
	}
	if h.Authorities != "" && h.Certificate == "" {
		r.fail("http.clientAuthorities", h.Authorities, "http.certificate and http.key are needed too, for clients show certificates over TLS only")
	}
	if h.Address == "" {
		return
	}
	host, _, err := net.SplitHostPort(h.Address)
	switch ip := net.ParseIP(host); {
	case err != nil:
		r.fail("http.address", h.Address, "it must be host:port, such as 127.0.0.1:5000")
	case host != "localhost" && (ip == nil || !ip.IsLoopback()) && !h.Guarded():
		r.fail("http.address", h.Address, "without http.token, http.tokenFile or http.clientAuthorities only loopback addresses are allowed, such as 127.0.0.1:5000")
	}
}
