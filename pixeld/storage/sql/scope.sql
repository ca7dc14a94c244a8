-- The rows of whoever asks: what every read of a table in a report is held to.
({scope:String} = 'operator'
    OR ({scope:String} = 'client' AND client = {scope_id:String})
    OR ({scope:String} = 'partner' AND partner = {scope_id:String}))
