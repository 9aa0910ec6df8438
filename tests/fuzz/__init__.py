"""Files that were changed at random, by the thousand: nothing that is read may raise, hang or fill the memory."""
