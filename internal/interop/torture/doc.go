// Package torture drives real processes of one application through everything that can go wrong in the middle of a
// token rotation, over real stores and a provider that ends a session when a refresh token comes twice, and counts what
// was lost.
package torture
