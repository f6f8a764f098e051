"""From images in any form to fused images in the same form."""
