// The contract that C# programs share.
using System;

public class RemoteObjectDef : MarshalByRefObject
{
    public virtual void SetValue(string value) { throw new NotImplementedException(); }
    public virtual string GetValue() { throw new NotImplementedException(); }
}
