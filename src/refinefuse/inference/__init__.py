"""From pictures in any form to fused pictures in the same form."""
